//! Synthetic content that compresses like the programs and texts of a system, the same on every machine.

use std::ops::Range;

/// The size of the chunks that are filled, left empty or changed in an image, in bytes.
pub const CHUNK: usize = 1 << 20;

/// The number of pieces of the pool that make a chunk.
const PIECES: usize = 16;

/// The size of a piece, in bytes.
const PIECE: usize = CHUNK / PIECES;

/// The size of a stride of the pool, in bytes. Each piece lies anywhere in one stride, and consecutive pieces lie in
/// consecutive strides: the same bytes repeat only after 16 chunks, outside the window of `zstd -3`.
const STRIDE: usize = 2 * PIECE;

/// The number of strides of the pool.
const STRIDES: usize = 16 * PIECES;

/// The size of the vocabulary, in bytes: phrases begin in its first 64 KiB.
const VOCABULARY: usize = (1 << 16) + 64;

/// A deterministic random number generator: the same numbers for the same seed.
pub struct Random(blake3::OutputReader);

impl Random {
    pub fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new_derive_key("xtask bench").update(seed.as_bytes()).finalize_xof())
    }

    /// The next `count` random bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        bytes
    }

    /// The next random number in `range`, which must not be empty.
    pub fn within(&mut self, range: &Range<usize>) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        range.start + u32::from_le_bytes(bytes) as usize % range.len()
    }
}

/// The pool of bytes from which chunks are made.
pub struct Content {
    pool: Vec<u8>,
}

impl Content {
    pub fn new() -> Self {
        let mut random = Random::new("pool");
        let vocabulary = random.bytes(VOCABULARY).into_iter().map(skew).collect::<Vec<_>>();
        let size = STRIDE * STRIDES;
        let mut pool = Vec::with_capacity(size + 64);
        while pool.len() < size {
            for bytes in random.bytes(1 << 16).chunks_exact(8) {
                add_phrase(&mut pool, &vocabulary, bytes);
            }
        }
        Self { pool }
    }

    /// `size` bytes, the same for the same `seed`.
    pub fn bytes(&self, seed: &str, size: usize) -> Vec<u8> {
        let mut number = Random::new(seed).within(&(0..1 << 20));
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            let rest = size - bytes.len();
            if rest < PIECE {
                // Making a whole chunk for each small file would be slow. The prime spreads the starts over the pool.
                let start = number * 4099 % (STRIDES * STRIDE - PIECE);
                bytes.extend_from_slice(&self.pool[start..start + rest]);
            } else {
                bytes.extend_from_slice(&self.chunk(number, 0)[..rest.min(CHUNK)]);
            }
            number += 1;
        }
        bytes
    }

    /// The bytes of chunk `number` of an image in version `version`.
    pub fn chunk(&self, number: usize, version: u8) -> Vec<u8> {
        let random = Random::new(&format!("block {number}.{version}")).bytes(2 * PIECES);
        let mut chunk = Vec::with_capacity(CHUNK);
        for (piece, bytes) in random.chunks_exact(2).enumerate() {
            let offset_in_stride = usize::from(u16::from_le_bytes([bytes[0], bytes[1]])) % (STRIDE - PIECE);
            let stride = (number * PIECES + piece) % STRIDES;
            let start = stride * STRIDE + offset_in_stride;
            chunk.extend_from_slice(&self.pool[start..start + PIECE]);
        }
        chunk
    }
}

/// Appends a phrase of the vocabulary, the common ones more often, and a few random bytes. `random` has 8 random
/// bytes, which determine both.
fn add_phrase(pool: &mut Vec<u8>, vocabulary: &[u8], random: &[u8]) {
    let position = usize::from(u16::from_le_bytes([random[0], random[1]]));
    let start = position * usize::from(random[2]) / 256;
    // These lengths make the content compress like a system: by 2.5 to 3.5, see the test.
    let length = 11 + usize::from(random[3] & 15);
    pool.extend_from_slice(&vocabulary[start..start + length]);
    let random_end = 4 + usize::from(random[3] >> 6);
    pool.extend(random[4..random_end].iter().copied().map(skew));
}

/// Maps a random byte so that some values are more common than others, as in programs and texts.
fn skew(byte: u8) -> u8 {
    let byte = u16::from(byte);
    ((byte * byte) >> 8).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_compresses_like_a_system() {
        let content = Content::new();
        let bytes = (0..24).flat_map(|number| content.chunk(number, 0)).collect::<Vec<_>>();
        let compressed = zstd::bulk::compress(&bytes, 3).unwrap();
        let tenths = bytes.len() * 10 / compressed.len();
        assert!((25..=35).contains(&tenths), "the ratio is {tenths} tenths");
    }

    #[test]
    fn chunks_differ_by_number_and_by_version() {
        let content = Content::new();
        let hash = blake3::hash(&content.chunk(0, 0));
        for (number, version) in [(0, 1), (1, 0), (16, 0)] {
            let chunk = content.chunk(number, version);
            assert_eq!(chunk.len(), CHUNK);
            assert_ne!(blake3::hash(&chunk), hash, "{number}.{version}");
        }
    }
}
