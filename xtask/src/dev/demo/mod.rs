//! The demo: a real `AArch64` image made from Debian's packages, and the virtual card that it is written to.

mod boots;
mod card;
mod fetch;
mod observations;
mod parts;
mod sources;
mod staging;
mod tools;
mod verified_host;

pub use boots::{first_boot, later_boot};
pub use card::VirtualCard;
pub use staging::{StagedFlake, stage};
pub use tools::{GUEST, PROGRAMS, Tools, stage_guest, stage_programs};
pub use verified_host::{VerifiedHost, table, verify_host};
