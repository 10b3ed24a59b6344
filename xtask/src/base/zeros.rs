//! Whether bytes are blank: half of an image is zeros, so what looks at all of its bytes looks for these first.

/// Whether all `bytes` are zero: the first byte is zero, and each byte equals the next one, which `memcmp` compares
/// fastest. A loop over the bytes takes ten times as long as the decompression in a build without optimization, as
/// `cargo xtask` is one.
pub fn is_all_zero(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| *first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_not_zero_is_found() {
        for (bytes, expected) in [(&[][..], true), (&[0], true), (&[0, 0, 0], true), (&[0, 0, 1], false)] {
            assert_eq!(is_all_zero(bytes), expected, "{bytes:?}");
        }
        assert!(!is_all_zero(&[7, 7]));
    }
}
