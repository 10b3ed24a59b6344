//! BLAKE3 of an image out of the hashes of its chunks: BLAKE3 is a tree, and a chunk of 1 MiB that begins
//! at a multiple of 1 MiB is a subtree of its own (the BLAKE3 paper, section 2.1). So each byte is hashed
//! once, and the same hash serves to compare one chunk and to name the whole.

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use super::buffer::CHUNK;

/// The hash of the chunk `bytes` that begins at byte `at` of an image, a multiple of [`CHUNK`].
pub fn hash_chunk(bytes: &[u8], at: u64) -> ChainingValue {
    Hasher::new().set_input_offset(at).update(bytes).finalize_non_root()
}

/// The BLAKE3 hash of an image of `size` bytes with these chunks, all but the last of which are full.
/// None for an image that is no longer than one chunk: its hash does not follow from that of the chunk.
pub fn hash_image(chunks: &[ChainingValue], size: u64) -> Option<blake3::Hash> {
    if chunks.len() < 2 {
        return None;
    }
    let (left, right, left_size) = halves(chunks, size);
    let right = merge(right, size - left_size);
    Some(merge_subtrees_root(&merge(left, left_size), &right, Mode::Hash))
}

fn merge(chunks: &[ChainingValue], size: u64) -> ChainingValue {
    if let [one] = chunks {
        return *one;
    }
    let (left, right, left_size) = halves(chunks, size);
    merge_subtrees_non_root(&merge(left, left_size), &merge(right, size - left_size), Mode::Hash)
}

/// The two subtrees below the top of a tree over more than one chunk, and the size of the left one in bytes.
fn halves(chunks: &[ChainingValue], size: u64) -> (&[ChainingValue], &[ChainingValue], u64) {
    let left_size = left_subtree_len(size);
    let count = usize::try_from(left_size / CHUNK as u64).unwrap_or(usize::MAX);
    let (left, right) = chunks.split_at(count);
    (left, right, left_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_as_hashing_the_whole() {
        for size in [CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 512, 5 * CHUNK + 1024, 8 * CHUNK, 9 * CHUNK + 1] {
            let bytes = (0..size).map(|at| u8::try_from(at % 253).unwrap()).collect::<Vec<_>>();
            let offsets = (0u64..).step_by(CHUNK);
            let chunks = bytes.chunks(CHUNK).zip(offsets).map(|(chunk, at)| hash_chunk(chunk, at));
            let chunks = chunks.collect::<Vec<_>>();
            assert_eq!(hash_image(&chunks, size as u64), Some(blake3::hash(&bytes)), "{size}");
        }
        assert_eq!(hash_image(&[hash_chunk(b"short", 0)], 5), None);
    }
}
