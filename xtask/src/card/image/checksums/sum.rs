//! Checksums as text, and the algorithms that are compared.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::digest::DynDigest;

/// An algorithm of checksums.
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
}

impl Algorithm {
    /// All algorithms. Where nothing names the algorithm of a sum, it is the first with sums of this length.
    const ALL: &[Self] =
        &[Self::Sha256, Self::Sha512, Self::Sha384, Self::Sha224, Self::Sha1, Self::Md5, Self::Blake2b];

    /// The algorithm with this name in a checksum file, or in the name of a checksum file: `SHA256`, `SHA2-256` of
    /// openssl 3, `md5sum`. `None` for an unknown name.
    pub fn by_name(name: &str) -> Option<Self> {
        let is_significant = |c: &char| c.is_ascii_alphanumeric() || *c == '/';
        let letters = name.trim().chars().filter(is_significant).collect::<String>().to_ascii_uppercase();
        let stem = letters.strip_suffix("SUM").or(letters.strip_suffix("SUMS")).unwrap_or(&letters);
        match stem {
            "SHA256" | "SHA2256" => Some(Self::Sha256),
            "SHA512" | "SHA2512" => Some(Self::Sha512),
            "SHA384" | "SHA2384" => Some(Self::Sha384),
            "SHA224" | "SHA2224" => Some(Self::Sha224),
            "SHA1" => Some(Self::Sha1),
            "MD5" => Some(Self::Md5),
            "B2" | "BLAKE2" | "BLAKE2B" | "BLAKE2B512" => Some(Self::Blake2b),
            _ => None,
        }
    }

    /// The length of a sum in bytes.
    fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 | Self::Blake2b => 64,
            Self::Sha384 => 48,
            Self::Sha224 => 28,
            Self::Sha1 => 20,
            Self::Md5 => 16,
        }
    }

    /// A new hasher of this algorithm.
    pub fn hasher(self) -> Box<dyn DynDigest + Send> {
        match self {
            Self::Sha256 => Box::new(sha2::Sha256::default()),
            Self::Sha512 => Box::new(sha2::Sha512::default()),
            Self::Sha384 => Box::new(sha2::Sha384::default()),
            Self::Sha224 => Box::new(sha2::Sha224::default()),
            Self::Sha1 => Box::new(sha1::Sha1::default()),
            Self::Md5 => Box::new(md5::Md5::default()),
            Self::Blake2b => Box::new(blake2::Blake2b512::default()),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
            Self::Sha384 => "SHA-384",
            Self::Sha224 => "SHA-224",
            Self::Sha1 => "SHA-1",
            Self::Md5 => "MD5",
            Self::Blake2b => "BLAKE2b",
        })
    }
}

/// A checksum with its algorithm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sum {
    pub algorithm: Algorithm,
    /// Lower-case hexadecimal digits.
    pub hex: String,
}

impl Sum {
    /// The sum with these `bytes`.
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Self {
        Self { algorithm, hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// Parses a sum of the algorithm `default`: hexadecimal digits or base64. Hexadecimal digits of another length, or
    /// without `default`, are a sum of the algorithm with this length. `None` for other texts.
    pub fn parse(text: &str, default: Option<Algorithm>) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let has_this_length = |algorithm: &Algorithm| algorithm.len() * 2 == text.len();
            let by_length = || Algorithm::ALL.iter().copied().find(has_this_length);
            let algorithm = default.filter(has_this_length).or_else(by_length)?;
            return Some(Self { algorithm, hex: text.to_ascii_lowercase() });
        }
        let algorithm = default?;
        let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
        (bytes.len() == algorithm.len()).then(|| Self::new(algorithm, &bytes))
    }

    /// The first twelve digits: enough to compare by eye.
    pub fn first_digits(&self) -> &str {
        &self.hex[..12]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sums of the text `abc` by coreutils 9.1, each with a name of its algorithm.
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
    ];

    #[test]
    fn every_algorithm_has_names_a_hasher_and_a_length() {
        for (name, hex) in ABC {
            let algorithm = Algorithm::by_name(name).expect(name);
            let mut hasher = algorithm.hasher();
            hasher.update(b"abc");
            let sum = Sum::new(algorithm, &hasher.finalize());
            assert_eq!(sum.hex, *hex, "{name}");
            assert_eq!(Sum::parse(&hex.to_uppercase(), Some(algorithm)), Some(sum));
        }
        for unknown in ["SHA3-256", "SHA512/256", "BLAKE2b-256", "CRC", ""] {
            assert_eq!(Algorithm::by_name(unknown), None, "{unknown}");
        }
    }
}
