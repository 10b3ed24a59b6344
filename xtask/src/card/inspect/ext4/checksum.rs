//! CRC-32C without the inversion at the end, the checksum of ext4 metadata.

const TABLE: [u32; 256] = make_table();

/// The remainders of all bytes, for [`crc32c`].
const fn make_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0_u32;
    while index < 256 {
        let mut value = index;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[index as usize] = value;
        index += 1;
    }
    table
}

/// The checksum `seed` continued with `bytes`. The first seed is `!0`.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, byte| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ crc >> 8)
}

/// [`crc32c`] of `bytes` with zeros in the `holes`, each an offset and a length.
pub fn crc32c_without(seed: u32, bytes: &[u8], holes: &[(usize, usize)]) -> u32 {
    let mut bytes = bytes.to_vec();
    for (at, len) in holes {
        if let Some(hole) = bytes.get_mut(*at..at + len) {
            hole.fill(0);
        }
    }
    crc32c(seed, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_has_the_known_value() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(!crc32c_without(!0, b"12345\x016789", &[(5, 1)]), !crc32c(!0, b"12345\x006789"));
    }
}
