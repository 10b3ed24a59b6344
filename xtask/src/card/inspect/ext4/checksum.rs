//! CRC-32C, as ext4 seals its metadata with it: without the inversion at the end.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let (mut table, mut index) = ([0; 256], 0_u32);
    while index < 256 {
        let (mut value, mut bit) = (index, 0);
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[index as usize] = value;
        index += 1;
    }
    table
}

/// `seed` continued with `bytes`; a checksum begins with `!0`.
pub fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |crc, byte| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ crc >> 8)
}

/// [`crc32c`] of `bytes` as if those in `holes`, each with its place and length, were zeros.
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
    fn the_known_answer() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(!crc32c_without(!0, b"12345\x016789", &[(5, 1)]), !crc32c(!0, b"12345\x006789"));
    }
}
