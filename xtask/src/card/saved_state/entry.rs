//! The entries of a saved state.

use crate::identity::Owner;

/// The time of the last modification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modified {
    /// The seconds since 1970.
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// An entry as its source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    pub path: Vec<u8>,
    pub kind: RawKind,
    /// The permissions; other bits are ignored.
    pub mode: u32,
    pub owner: Owner,
    pub modified: Modified,
    /// Whether it has extended attributes or ACLs, which no card gets.
    pub has_attributes: bool,
}

/// The kind of a [`RawEntry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawKind {
    Folder,
    /// A file of this size in bytes.
    File(u64),
    Link(Vec<u8>),
    /// Another name of the file at this path.
    HardLink(Vec<u8>),
    /// An entry that no card gets: a device, a socket or a pipe.
    Special,
}

/// An entry that the card gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// Relative to the folder of the state, without `.`, `..` and empty parts; empty for that folder itself.
    pub path: String,
    pub kind: StateKind,
    /// The permissions, without the file type.
    pub mode: u16,
    pub owner: Owner,
    pub modified: Modified,
}

/// The kind of a [`StateEntry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateKind {
    Folder,
    /// A file of this size in bytes.
    File(u64),
    Link(String),
    /// Another name of the file at this path, which is relative as that of the entry.
    HardLink(String),
}
