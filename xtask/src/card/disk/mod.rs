//! The disks of this machine: their properties, their uses, and the reasons to refuse one.
//!
//! [`Disk`] describes one whole disk by sysfs, or a plain file that is a virtual card. The elevated worker is sent a
//! `Disk`, loads the disk again and compares.

mod backing;
mod confirm;
mod confirm_phrase;
mod eject;
mod identity;
mod kind;
mod label_conflict;
mod load;
mod lock;
mod loop_device;
mod model;
mod mount_owner;
mod mounts;
mod open_files;
mod probe;
mod protected_path;
mod refusal;
mod refusals;
mod request;
mod roots;
mod sysfs;
mod udev;
mod unmount;
mod usage;
mod wait_for_card;

pub use confirm::Confirmation;
pub use confirm_phrase::{ConfirmPhrase, ConfirmPhrases};
pub use label_conflict::label_conflicts;
pub use load::{absent_error, list};
pub use lock::{Locked, adopt_exclusive, adopt_shared, open_exclusive, open_shared};
pub use loop_device::LoopDevice;
pub use model::{DeviceNumber, Disk, DiskKind, Partition, Role, Use};
pub use mount_owner::MountOwner;
pub use protected_path::{Extent, ProtectedPath};
pub use refusal::{Refusal, refuse};
pub use refusals::refusals;
pub use request::{Mounted, Request, VirtualCards};
pub use roots::Roots;
pub use unmount::unmount;
pub use wait_for_card::await_card;

#[cfg(test)]
mod confirm_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod stack_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod use_tests;
