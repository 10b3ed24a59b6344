//! What is plugged in, what it is used for, and why a disk is refused.
//!
//! [`Disk`] is what sysfs says about one whole disk (or a plain file that stands for a card). It
//! travels to the elevated writer, which loads it again and compares.

mod clash;
mod confirmation;
mod eject;
mod identity;
mod kind;
mod load;
mod lock;
mod loop_device;
mod model;
mod mounts;
mod probe;
mod refusal;
mod roots;
mod sysfs;
mod udev;
mod usage;

pub use clash::clashes;
pub use confirmation::Confirmation;
pub use load::list;
pub use lock::open_exclusive;
pub use loop_device::LoopDevice;
pub use model::{Disk, Kind, Number, Partition, Role, Use};
pub use refusal::{Consent, Kept, Request, VirtualCards, refusals, refuse};
pub use roots::Roots;

#[cfg(test)]
mod consent_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
