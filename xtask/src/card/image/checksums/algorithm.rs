//! The algorithms of checksums, and their names.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// An algorithm of checksums that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    Sha256,
    Sha512,
    Sha384,
    Sha224,
    Sha1,
    Md5,
    /// `BLAKE2b` with 512 bits, as `b2sum` computes it.
    Blake2b,
    /// `BLAKE2b` with sums of this many bytes, fewer than 64, as `b2sum --length` computes it.
    ShortBlake2b(u8),
    /// `BLAKE2s` with 256 bits.
    Blake2s,
    Blake3,
}

/// The algorithm that a word names: in the tag of a line, or in the name of a checksum file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedAlgorithm {
    /// This algorithm.
    Known(Algorithm),
    /// `BLAKE2b` with sums of any length.
    Blake2b,
    /// An algorithm whose sums are not compared.
    Other,
}

/// The letters of the names of algorithms whose sums are not compared; a number makes the name whole.
const OTHER_LETTERS: &[&str] = &[
    "ADLER", "BLAKE", "BLAKEB", "BLAKEBP", "BLAKES", "BLAKESP", "BLAKEXB", "BLAKEXS", "CRC", "CRCC", "FNV",
    "GOST", "HAS", "K", "KECCAK", "MD", "RIPEMD", "RMD", "SHA", "SHAKE", "SHAT", "SIPHASH", "SKEIN", "SM",
    "STREEBOG", "TIGER", "XXH", "XXHASH",
];
/// The names of algorithms without a number whose sums are not compared.
const OTHER_NAMES: &[&str] = &[
    "ADLER",
    "CK",
    "CRC",
    "GOST",
    "KECCAK",
    "RIPEMD",
    // The lists of CRC-32 are called by this ending.
    "SFV",
    "SKEIN",
    "STREEBOG",
    "TIGER",
    "TTH",
    "WHIRLPOOL",
    "XXH",
    "XXHASH",
];

impl NamedAlgorithm {
    /// The algorithm with this name: `SHA256`, `SHA2-256` of openssl 3, `md5sum`, `BLAKE2b-256`, `SHASUMS256`. `None`
    /// for a word that is the name of no algorithm.
    pub fn parse(name: &str) -> Option<Self> {
        let is_significant = |c: &char| c.is_ascii_alphanumeric() || *c == '/';
        let letters = name.trim().chars().filter(is_significant).collect::<String>().to_ascii_uppercase();
        let stem = letters.replacen("SUMS", "", 1).replacen("SUM", "", 1);
        let known = match stem.as_str() {
            "SHA256" | "SHA2256" => Algorithm::Sha256,
            "SHA512" | "SHA2512" => Algorithm::Sha512,
            "SHA384" | "SHA2384" => Algorithm::Sha384,
            "SHA224" | "SHA2224" => Algorithm::Sha224,
            "SHA1" => Algorithm::Sha1,
            "MD5" => Algorithm::Md5,
            "B3" | "BLAKE3" | "BLAKE3256" => Algorithm::Blake3,
            "BLAKE2S" | "BLAKE2S256" => Algorithm::Blake2s,
            "B2" | "BLAKE2" | "BLAKE2B" => return Some(Self::Blake2b),
            other => {
                return blake2b_with_bits(other).map(Self::Known).or(is_other(other).then_some(Self::Other));
            }
        };
        Some(Self::Known(known))
    }

    /// The algorithm of this name whose sums have `len` bytes; `None` where it has no such sums.
    pub fn with_sums_of(self, len: usize) -> Option<Algorithm> {
        match self {
            Self::Known(algorithm) => (algorithm.len() == len).then_some(algorithm),
            Self::Blake2b => Algorithm::blake2b(len),
            Self::Other => None,
        }
    }
}

/// The `BLAKE2b` in `BLAKE2B256` and `B2256`: the name, and the length of the sums in bits.
fn blake2b_with_bits(stem: &str) -> Option<Algorithm> {
    let bits = stem.strip_prefix("BLAKE2B").or(stem.strip_prefix("BLAKE2")).or(stem.strip_prefix("B2"))?;
    let bits = bits.parse::<usize>().ok()?;
    bits.is_multiple_of(8).then(|| Algorithm::blake2b(bits / 8))?
}

/// Whether `stem`, in upper case, is the name of an algorithm whose sums are not compared.
fn is_other(stem: &str) -> bool {
    let letters = stem.chars().filter(char::is_ascii_alphabetic).collect::<String>();
    let has_number =
        stem.contains(|c: char| c.is_ascii_digit()) && !stem.starts_with(|c: char| c.is_ascii_digit());
    OTHER_NAMES.contains(&stem) || has_number && OTHER_LETTERS.contains(&letters.as_str())
}

impl Algorithm {
    /// The algorithm of a sum of `len` bytes where nothing names the algorithm.
    pub fn by_len(len: usize) -> Option<Self> {
        const USUAL: &[Algorithm] = &[
            Algorithm::Sha256,
            Algorithm::Sha512,
            Algorithm::Sha384,
            Algorithm::Sha224,
            Algorithm::Sha1,
            Algorithm::Md5,
        ];
        USUAL.iter().copied().find(|algorithm| algorithm.len() == len)
    }

    /// `BLAKE2b` with sums of `len` bytes; `None` for a length that it does not have.
    fn blake2b(len: usize) -> Option<Self> {
        match u8::try_from(len).ok()? {
            64 => Some(Self::Blake2b),
            len @ 1..64 => Some(Self::ShortBlake2b(len)),
            _ => None,
        }
    }

    /// The length of a sum in bytes.
    fn len(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake2s | Self::Blake3 => 32,
            Self::Sha512 | Self::Blake2b => 64,
            Self::Sha384 => 48,
            Self::Sha224 => 28,
            Self::Sha1 => 20,
            Self::Md5 => 16,
            Self::ShortBlake2b(len) => usize::from(len),
        }
    }

    /// A new digest of this algorithm, of no bytes.
    pub fn digest(self) -> Digest {
        match self {
            Self::Sha256 => Digest::new::<sha2::Sha256>(),
            Self::Sha512 => Digest::new::<sha2::Sha512>(),
            Self::Sha384 => Digest::new::<sha2::Sha384>(),
            Self::Sha224 => Digest::new::<sha2::Sha224>(),
            Self::Sha1 => Digest::new::<sha1::Sha1>(),
            Self::Md5 => Digest::new::<md5::Md5>(),
            Self::Blake2b => Digest::new::<blake2::Blake2b512>(),
            Self::ShortBlake2b(len) => Digest::blake2b(usize::from(len)),
            Self::Blake2s => Digest::new::<blake2::Blake2s256>(),
            Self::Blake3 => Digest::blake3(),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
            Self::Sha384 => "SHA-384",
            Self::Sha224 => "SHA-224",
            Self::Sha1 => "SHA-1",
            Self::Md5 => "MD5",
            Self::Blake2b => "BLAKE2b",
            Self::ShortBlake2b(len) => return write!(f, "BLAKE2b-{}", u16::from(*len) * 8),
            Self::Blake2s => "BLAKE2s",
            Self::Blake3 => "BLAKE3",
        })
    }
}

impl fmt::Display for NamedAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(algorithm) => algorithm.fmt(f),
            Self::Blake2b => Algorithm::Blake2b.fmt(f),
            // The text stands in "has no ... of IMAGE".
            Self::Other => f.write_str("checksum"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sum;
    use super::*;

    /// The sums of the text `abc` by coreutils 9.1, openssl 3.0 and the crate blake3, each with a name of its
    /// algorithm.
    const ABC: &[(&str, &str)] = &[
        ("MD5", "900150983cd24fb0d6963f7d28e17f72"),
        ("SHA1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("SHA224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        ("sha2-256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "SHA384",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            "SHA-512",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            "b2",
            "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
             7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
        ),
        ("BLAKE2b-256", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
        ("B2SUMS", "384264f676f39536840523f284921cdc68b6846b"),
        ("B2SUMS", "6b"),
        ("blake2s256", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
        ("b3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
    ];

    #[test]
    fn every_algorithm_has_names_a_digest_and_a_length() {
        for (name, hex) in ABC {
            let named = NamedAlgorithm::parse(name).expect(name);
            let sum = Sum::parse(&hex.to_uppercase(), Some(named)).expect(name);
            let mut digest = sum.algorithm.digest();
            digest.update(b"a");
            digest.update(b"bc");
            assert_eq!(Sum::new(sum.algorithm, &digest.finish()), sum, "{name}");
        }
    }

    /// coreutils 9.1 prints this sum of more than one block of 128 bytes: `head -c 1000 /dev/zero | b2sum -l 256`.
    #[test]
    fn many_blocks_have_a_short_blake2b() {
        let mut digest = Algorithm::ShortBlake2b(32).digest();
        for _ in 0..8 {
            digest.update(&[0; 125]);
        }
        let sum = Sum::new(Algorithm::ShortBlake2b(32), &digest.finish());
        assert_eq!(sum.hex, "919da92d5040aeac86a75eb4125da3d0a9423bae8ae422b733b755f7baa8dadf");
    }

    #[test]
    fn names_of_algorithms_that_are_not_compared_are_told_from_other_words() {
        for name in [
            "SHA3-256",
            "sha3",
            "SHA512/256",
            "SHA3SUMS",
            "crc32",
            "CRC",
            "cksum",
            "sfv",
            "RMD160",
            "SHAKE256",
            "xxh64sum",
            "md4",
            "BLAKE2bp",
            "BLAKE2b-12",
            "BLAKE2b-520",
            "keccak-256",
            "K12",
            "SHASUMS3",
        ] {
            assert_eq!(NamedAlgorithm::parse(name), Some(NamedAlgorithm::Other), "{name}");
        }
        for word in
            ["", "sum", "sums", "sha", "check", "img", "zst", "txt", "256", "md", "4K", "release", "shared"]
        {
            assert_eq!(NamedAlgorithm::parse(word), None, "{word}");
        }
    }
}
