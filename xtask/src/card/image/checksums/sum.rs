//! Checksums as text.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};

use super::algorithm::{Algorithm, NamedAlgorithm};
use crate::base::hex;

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
        Self { algorithm, hex: hex(bytes) }
    }

    /// Parses a sum of the algorithm `named`: hexadecimal digits or base64. Where nothing names the algorithm, the
    /// length of hexadecimal digits decides. `None` for other texts, among them sums whose length is not that of
    /// `named`.
    pub fn parse(text: &str, named: Option<NamedAlgorithm>) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let len = text.len().is_multiple_of(2).then_some(text.len() / 2)?;
            let algorithm = match named {
                Some(named) => named.with_sums_of(len)?,
                None => Algorithm::by_len(len)?,
            };
            return Some(Self { algorithm, hex: text.to_ascii_lowercase() });
        }
        let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
        Some(Self::new(named?.with_sums_of(bytes.len())?, &bytes))
    }

    /// The first twelve digits, enough to compare by eye, or all where there are fewer.
    pub fn first_digits(&self) -> &str {
        self.hex.get(..12).unwrap_or(&self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_the_length_of_its_algorithm() {
        let sums = |length: usize, name: &str| {
            let named = (!name.is_empty()).then(|| NamedAlgorithm::parse(name).expect(name));
            Sum::parse(&"5".repeat(length), named).map(|sum| sum.algorithm.to_string())
        };
        for (length, name, expected) in [
            (64, "", Some("SHA-256")),
            (128, "", Some("SHA-512")),
            (40, "", Some("SHA-1")),
            (64, "sha256", Some("SHA-256")),
            (64, "b2", Some("BLAKE2b-256")),
            (128, "b2", Some("BLAKE2b")),
            (40, "B2SUMS", Some("BLAKE2b-160")),
            (2, "B2SUMS", Some("BLAKE2b-8")),
            (64, "b3", Some("BLAKE3")),
            (64, "BLAKE2b-256", Some("BLAKE2b-256")),
            (64, "blake2s", Some("BLAKE2s")),
            (63, "", None),
            (130, "b2", None),
            (3, "b2", None),
            (128, "BLAKE2b-256", None),
            (64, "sha512", None),
            (128, "sha256", None),
            (40, "md5", None),
            (64, "sha1", None),
            (128, "b3", None),
            (64, "sha3-256", None),
            (128, "sha3-512", None),
            (8, "crc32", None),
        ] {
            assert_eq!(sums(length, name).as_deref(), expected, "{length} {name}");
        }
        assert_eq!(Sum::parse("", None), None);
        assert_eq!(Sum::parse("", Some(NamedAlgorithm::Blake2b)), None);
    }
}
