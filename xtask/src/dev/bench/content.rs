//! Synthetic content that compresses like the programs and texts of a system, the same on every machine.

use std::ops::Range;

/// The size of the chunks that are filled, left empty or changed in an image, in bytes.
pub const CHUNK: usize = 1 << 20;

/// A chunk consists of pieces of the pool.
const PIECES: usize = 16;
const PIECE: usize = CHUNK / PIECES;

/// A piece lies anywhere in its stride of the pool, and consecutive pieces are in consecutive strides: the same bytes
/// repeat only after 16 chunks, outside the window of `zstd -3`.
const STRIDE: usize = 2 * PIECE;
const STRIDES: usize = 16 * PIECES;

/// The size of the vocabulary: phrases begin in its first 64 KiB.
const VOCABULARY: usize = (1 << 16) + 64;

/// A deterministic random number generator: the same numbers for the same seed.
pub struct Random(blake3::OutputReader);

impl Random {
    pub fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new_derive_key("xtask bench").update(seed.as_bytes()).finalize_xof())
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A number in `range`, which must not be empty.
    pub fn within(&mut self, range: &Range<usize>) -> usize {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        range.start + u32::from_le_bytes(bytes) as usize % range.len()
    }
}

/// The pool from which chunks are made.
pub struct Content {
    pool: Vec<u8>,
}

impl Content {
    pub fn new() -> Self {
        let mut random = Random::new("pool");
        let vocabulary = random.bytes(VOCABULARY).into_iter().map(skewed).collect::<Vec<_>>();
        let size = STRIDE * STRIDES;
        let mut pool = Vec::with_capacity(size + 64);
        while pool.len() < size {
            random.bytes(1 << 16).chunks_exact(8).for_each(|bytes| add_phrase(&mut pool, &vocabulary, bytes));
        }
        Self { pool }
    }

    /// `size` bytes, the same for the same `seed`.
    pub fn bytes(&self, seed: &str, size: usize) -> Vec<u8> {
        let number = Random::new(seed).within(&(0..1 << 20));
        let mut bytes = Vec::with_capacity(size);
        for (number, start) in (number..).zip((0..size).step_by(CHUNK)) {
            let rest = size - start;
            if rest < PIECE {
                // Making a whole chunk for each small file would be slow.
                let place = number * 4099 % (STRIDES * STRIDE - PIECE);
                bytes.extend_from_slice(&self.pool[place..place + rest]);
            } else {
                bytes.extend_from_slice(&self.chunk(number, 0)[..rest.min(CHUNK)]);
            }
        }
        bytes
    }

    /// The bytes of chunk `number` of an image in version `version`.
    pub fn chunk(&self, number: usize, version: u8) -> Vec<u8> {
        let places = Random::new(&format!("block {number}.{version}")).bytes(2 * PIECES);
        let pieces = places.chunks_exact(2).enumerate().flat_map(|(piece, place)| {
            let place = usize::from(u16::from_le_bytes([place[0], place[1]])) % (STRIDE - PIECE);
            let start = (number * PIECES + piece) % STRIDES * STRIDE + place;
            [&self.pool[start..start + PIECE]]
        });
        pieces.collect::<Vec<_>>().concat()
    }
}

/// Appends a phrase of the vocabulary, the common ones more often, and a few random bytes. `random` are 8 bytes.
fn add_phrase(pool: &mut Vec<u8>, vocabulary: &[u8], random: &[u8]) {
    let word = |low: u8, high: u8| usize::from(u16::from_le_bytes([low, high]));
    let start = word(random[0], random[1]) * usize::from(random[2]) / 256;
    let length = 11 + usize::from(random[3] & 15);
    pool.extend_from_slice(&vocabulary[start..start + length]);
    let behind = 4 + usize::from(random[3] >> 6);
    pool.extend(random[4..behind].iter().copied().map(skewed));
}

/// Maps a random byte so that some values are more common than others, as in programs and texts.
fn skewed(byte: u8) -> u8 {
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
        let packed = zstd::bulk::compress(&bytes, 3).unwrap();
        let ratio = bytes.len() * 10 / packed.len();
        assert!((25..=35).contains(&ratio), "{ratio} tenths");
    }

    #[test]
    fn blocks_are_the_same_everywhere_and_differ_from_each_other() {
        let content = Content::new();
        let hash = blake3::hash(&content.chunk(0, 0));
        for (number, version) in [(0, 1), (1, 0), (16, 0)] {
            let chunk = content.chunk(number, version);
            assert_eq!(chunk.len(), CHUNK);
            assert_ne!(blake3::hash(&chunk), hash, "{number}.{version}");
        }
    }
}
