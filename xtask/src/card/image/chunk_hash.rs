//! The hashes of the chunks of an image, by which chunks on the card are verified, and the hash of the whole content.
//!
//! A chunk is hashed with XXH3-128: the question is whether a card has kept the bytes, not whether the bytes are
//! forged. XXH3-128 takes a tenth of the time of the decompression, BLAKE3 a quarter. The hash of the whole is the
//! BLAKE3 hash of the list of the chunk hashes, each as 16 bytes in big-endian order.

use std::io::{ErrorKind, Read};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The size of a chunk in bytes; the last one may be smaller.
pub const CHUNK: usize = 1 << 20;

/// The XXH3-128 hash of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHash([u8; 16]);

impl ChunkHash {
    /// The hash of the chunk `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(bytes).to_be_bytes())
    }
}

/// Serializes the hash as hexadecimal text.
impl Serialize for ChunkHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", u128::from_be_bytes(self.0)))
    }
}

impl<'a> Deserialize<'a> for ChunkHash {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u128::from_str_radix(&String::deserialize(deserializer)?, 16);
        number.map(|number| Self(number.to_be_bytes())).map_err(D::Error::custom)
    }
}

/// The hash of the whole content that has these `chunks`.
pub fn content_hash(chunks: &[ChunkHash]) -> blake3::Hash {
    let list = chunks.iter().flat_map(|chunk| chunk.0).collect::<Vec<_>>();
    blake3::hash(&list)
}

/// Fills `chunk` from `stream` and returns the number of bytes read, which is smaller than the chunk only at the end of
/// the stream. An error comes with the number of bytes read before it.
pub fn read_chunk(stream: &mut impl Read, chunk: &mut [u8]) -> Result<usize, (usize, std::io::Error)> {
    let mut filled = 0;
    while filled < chunk.len() {
        match stream.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err((filled, error)),
        }
    }
    Ok(filled)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The hash of the whole `content`.
    pub(crate) fn hash(content: &[u8]) -> blake3::Hash {
        content_hash(&content.chunks(CHUNK).map(ChunkHash::of).collect::<Vec<_>>())
    }

    #[test]
    fn the_hash_of_an_image_is_that_of_its_chunk_hashes() {
        let [first, second] = [7, 8].map(|byte| vec![byte; CHUNK]);
        // The XXH3-128 of no bytes, as `xxhsum -H2` prints it.
        assert_eq!(ChunkHash::of(b"").0, 0x99aa_06d3_0147_98d8_6001_c324_468d_497f_u128.to_be_bytes());
        let list = [ChunkHash::of(&first).0, ChunkHash::of(&second).0].concat();
        assert_eq!(hash(&[first, second].concat()), blake3::hash(&list));
    }

    #[test]
    fn short_reads_are_joined_to_chunks() {
        let mut stream = (&[1; 3][..]).chain(&[2; 3][..]);
        let mut chunk = [0; 4];
        assert_eq!((read_chunk(&mut stream, &mut chunk).unwrap(), chunk), (4, [1, 1, 1, 2]));
        assert_eq!(read_chunk(&mut stream, &mut chunk).unwrap(), 2);
        assert_eq!(read_chunk(&mut stream, &mut chunk).unwrap(), 0);
    }
}
