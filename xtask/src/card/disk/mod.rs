//! What is plugged in, what it is used for, and why a disk is refused.
//!
//! [`Disk`] is what sysfs says about one whole disk (or a plain file that stands for a card). It
//! travels to the elevated writer, which loads it again and compares.

mod arrival;
mod backing;
mod clash;
mod confirmation;
mod consent;
mod eject;
mod identity;
mod kind;
mod load;
mod lock;
mod loop_device;
mod model;
mod mounts;
mod probe;
mod protected;
mod refusal;
mod refusals;
mod request;
mod roots;
mod sysfs;
mod udev;
mod unmount;
mod usage;
mod users;

pub use arrival::await_card;
pub use clash::clashes;
pub use confirmation::Confirmation;
pub use consent::Consent;
pub use load::list;
pub use lock::{Locked, adopt, open_exclusive, open_shared};
pub use loop_device::LoopDevice;
pub use model::{Disk, Kind, Number, Partition, Role, Use};
pub use protected::{Extent, Protected};
pub use refusal::refuse;
pub use refusals::refusals;
pub use request::{Mounted, Request, VirtualCards};
pub use roots::Roots;
pub use unmount::unmount;

#[cfg(test)]
mod consent_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod stack_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod use_tests;
