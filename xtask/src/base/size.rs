//! Numbers of bytes, as people read and write them.

use std::fmt;

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

/// Parses `640MiB`, `31 GiB`, `62.5GB`, `1000B` or a bare number of bytes. Returns the bytes.
///
/// # Errors
/// For another text, for a part of a byte, and for more than 2^64 - 1 bytes.
pub fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    let suffix = SUFFIXES.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (number, unit) = suffix.unwrap_or((text, 1));
    multiply(number.trim_end(), unit)
        .ok_or("must be whole bytes: a number, and KiB, MiB, GiB, TiB, KB, MB, GB or TB if not in bytes")
}

/// `unit` times the decimal number `text`; `None` for another text, and where that is no whole number of 64 bits.
fn multiply(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    // `parse` would accept a sign.
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let scale = 10_u128.checked_pow(fraction.len().try_into().ok()?)?;
    let number = whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(fraction.parse().ok()?)?;
    let bytes = number.checked_mul(unit.into())?;
    if bytes % scale == 0 { u64::try_from(bytes / scale).ok() } else { None }
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
    fn numbers_with_or_without_a_unit_are_sizes() {
        let binary =
            [("640MiB", 640 << 20), ("31 GiB", 31 << 30), ("512KiB", 524_288), ("1.5GiB", 1536 << 20)];
        let decimal =
            [("32GB", 32_000_000_000), ("62.5GB", 62_500_000_000), ("5KB", 5000), ("7", 7), ("9.0B", 9)];
        for (text, bytes) in binary.into_iter().chain(decimal) {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_sizes() {
        let long = format!("0.{}1GiB", "0".repeat(40));
        for text in [
            "",
            "MiB",
            "-1",
            "+1",
            "1.5",
            "0.7KiB",
            "1.GB",
            ".5GB",
            "1.2.3GB",
            "12mb",
            "99999999999GiB",
            &long,
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
