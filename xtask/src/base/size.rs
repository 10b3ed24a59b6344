//! Numbers of bytes, as people read and write them.

use std::fmt;

use anyhow::Result;

use crate::failure;

/// The units of displayed sizes, the largest first.
const UNITS: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes, displayed in the largest binary unit that is not larger: `640.0 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "one decimal for people")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, unit)| self.0 >= *unit) {
            Some((name, unit)) => write!(f, "{:.1} {name}", self.0 as f64 / *unit as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// The units that may follow a number: binary units, as this tool prints them, and the decimal units of card makers.
/// `B` is last, as all others end in it.
const SUFFIXES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Parses `640MiB`, `31 GiB`, `32GB`, `1000B` or a bare number of bytes. Returns the bytes.
///
/// # Errors
/// `Usage` for another text, and for more than 2^64 - 1 bytes.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let invalid = || {
        failure!(
            Usage, "'{text}' is not a size";
            hint: "write bytes, or a whole number with KiB, MiB, GiB, TiB, KB, MB, GB or TB"
        )
    };
    let suffix = SUFFIXES.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (number, unit) = suffix.unwrap_or((text, 1));
    let digits = number.trim_end();
    // `parse` would accept a sign.
    if digits.starts_with('+') {
        return Err(invalid());
    }
    let count: u64 = digits.parse().map_err(|_| invalid())?;
    count.checked_mul(unit).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_displayed_in_binary_units() {
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(12).to_string(), "12 B");
    }

    #[test]
    fn whole_numbers_with_or_without_a_unit_are_sizes() {
        let good = [("640MiB", 640 << 20), ("31 GiB", 31 << 30), ("512KiB", 524_288), ("7", 7), ("9B", 9)];
        for (text, bytes) in good.into_iter().chain([("32GB", 32_000_000_000), ("5KB", 5000)]) {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_sizes() {
        for text in ["", "MiB", "-1", "+1", "1.5GiB", "12mb", "99999999999GiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
