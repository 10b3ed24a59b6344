//! Control blocks of journals with different features.

use super::*;

#[test]
fn all_tags_of_a_descriptor_are_read() {
    for (features, size) in [
        (0, 8),
        (SIXTY_FOUR_BIT, 12),
        (CHECKSUMS_V2, 10),
        (CHECKSUMS_V2 | SIXTY_FOUR_BIT, 14),
        (CHECKSUMS_V3, 16),
        (CHECKSUMS_V3 | SIXTY_FOUR_BIT, 16),
    ] {
        let mut block = vec![0_u8; 1024];
        let mut put = |at: usize, number: u32, flags: u32| {
            block[at..at + 4].copy_from_slice(&number.to_be_bytes());
            block[at + 4..at + 8].copy_from_slice(&flags.to_be_bytes());
        };
        // A UUID of 16 bytes follows the first tag.
        put(12, 100, 0);
        put(28 + size, 101, SAME_UUID | ESCAPED);
        put(28 + 2 * size, 102, SAME_UUID | LAST_TAG);
        let tags = descriptor_tags(features, &block);
        let found = tags.iter().map(|tag| (tag.number, tag.is_escaped)).collect::<Vec<_>>();
        assert_eq!(found, [(100, false), (101, true), (102, false)], "{features:#x}");
    }
}

#[test]
fn a_full_revoke_block_is_read_to_its_end() {
    for (features, count) in [
        (0, 252),
        (SIXTY_FOUR_BIT, 126),
        (CHECKSUMS_V2, 251),
        (CHECKSUMS_V3, 251),
        (CHECKSUMS_V3 | SIXTY_FOUR_BIT, 125),
    ] {
        let mut block = vec![7_u8; 1024];
        block[12..16].copy_from_slice(&1024_u32.to_be_bytes());
        assert_eq!(revoked_blocks(features, &block).len(), count, "{features:#x}");
    }
}
