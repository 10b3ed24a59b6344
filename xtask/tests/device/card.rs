//! Virtual cards that hold garbage at first, as used cards do.

use crate::image::garbage;
use crate::support::loops::Loop;

pub const MIB: usize = 1 << 20;

/// A loop device over a file with known bytes.
pub struct Card {
    pub device: Loop,
    /// The content of the card at first.
    before: Vec<u8>,
}

impl Card {
    /// A card of `mib` MiB of garbage.
    pub fn new(mib: usize) -> Self {
        Self::of_size(mib * MIB)
    }

    /// A card of `size` bytes of garbage.
    pub fn of_size(size: usize) -> Self {
        Self::holding(garbage(size))
    }

    /// A card that holds `before` at first.
    pub fn holding(before: Vec<u8>) -> Self {
        let fill = |file: &std::path::Path| std::fs::write(file, &before).expect("filling the card");
        Self { device: Loop::attach(before.len() as u64, &[], fill), before }
    }

    /// Asserts that the card begins with `image`, that its last MiB is blank where the image does not reach it, and
    /// that everything between is unchanged.
    #[track_caller]
    pub fn assert_holds(&self, image: &[u8]) {
        let after = self.device.bytes();
        let blank_start = image.len().max(after.len().saturating_sub(MIB));
        assert!(after.starts_with(image), "the image is not on the card");
        assert!(
            after[image.len()..blank_start] == self.before[image.len()..blank_start],
            "more than the image was written"
        );
        assert!(is_blank(&after[blank_start..]), "the end of the card is not blank");
    }

    /// Asserts that the card holds what it held at first.
    #[track_caller]
    pub fn assert_unchanged(&self) {
        assert!(self.device.bytes() == self.before, "the card was changed");
    }
}

/// Whether all `bytes` are zero.
pub fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
