//! The host itself: how it is reached, what it runs, and waiting until it has come to an end.

mod disks;
mod health;
mod line;
mod patience;
mod probe;
mod settle;
mod ssh;
mod way_back;

pub use disks::Disks;
pub use health::{Check, check};
pub use line::Line;
pub use patience::{again, reboot, until_answered};
pub use probe::{Activity, State, probe, question, section};
pub use settle::settle;
pub use ssh::{Pin, Remote, quoted, whole, words};
pub use way_back::make_way_back;
