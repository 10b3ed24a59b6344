//! The requirements that a disk is checked against before it is written.

use super::{Confirmation, ProtectedPath};

/// The requirements for a disk that is to be written.
#[derive(Clone, Debug)]
pub struct Request {
    /// The decompressed size of the image in bytes; `None` where it is not known yet.
    pub image_size: Option<u64>,
    pub virtual_cards: VirtualCards,
    pub mounted: Mounted,
    /// The paths that must not be overwritten: the image, the flake, the keys and more.
    pub protected: Vec<ProtectedPath>,
    pub confirmation: Confirmation,
}

/// Whether loop devices and plain files are accepted as virtual cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtualCards {
    Refused,
    Allowed,
}

/// The handling of a card whose only uses are plain mounts ([`Use::is_plain_mount`](super::Use::is_plain_mount)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounted {
    Refused,
    /// The card will be unmounted: after a question, or because of `--unmount`.
    Unmounted,
}
