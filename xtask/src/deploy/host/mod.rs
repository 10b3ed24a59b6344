//! The host itself: how it is reached, what it runs, and waiting until it has come to an end.

mod disks;
mod health;
mod line;
mod options;
mod patience;
mod probe;
mod question;
mod reasons;
mod said;
mod settle;
mod ssh;
mod way_back;
mod workdir;

pub use disks::Disks;
pub use health::{Check, check};
pub use line::Line;
pub use options::{Pin, quoted, whole, words};
pub use patience::{again, reboot, until_answered};
pub use probe::{Activity, State, ask, probe, probe_after};
pub use question::{Answer, Question};
pub use settle::settle;
pub use ssh::{LIST, Remote};
pub use way_back::make_way_back;
pub use workdir::Workdir;
