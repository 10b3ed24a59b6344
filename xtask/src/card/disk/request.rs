//! What is asked of a disk before it is written.

use super::{Confirmation, Protected};

/// What is asked of a disk.
#[derive(Clone, Debug)]
pub struct Request {
    /// The size of the image when decompressed, in bytes; none where its header does not tell.
    pub image_size: Option<u64>,
    pub virtual_cards: VirtualCards,
    pub mounted: Mounted,
    /// What must survive: the image, the flake, the keys and more.
    pub protected: Vec<Protected>,
    pub confirmation: Confirmation,
}

/// Whether loop devices and plain files may stand for a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtualCards {
    Refused,
    Allowed,
}

/// What becomes of a card that is mounted, and nothing else but mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounted {
    Refused,
    /// It is unmounted: after a question, or because that was said beforehand.
    Unmounted,
}
