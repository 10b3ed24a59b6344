//! The host itself: how it is reached, what it runs, and waiting until it has come to an end.

mod disks;
mod excerpt;
mod health;
mod options;
mod probe;
mod question;
mod rollback_generation;
mod ssh;
mod ssh_errors;
mod ssh_mux;
mod wait;
mod wait_for_activation;
mod workdir;

pub use disks::Disks;
pub use health::{Check, check};
pub use options::{whole, words};
pub use probe::{Activity, State, ask, probe, probe_after};
pub use question::{Answer, Question};
pub use rollback_generation::make_way_back;
pub use ssh::{LIST, Remote};
pub use ssh_mux::SshMux;
pub use wait::{again, reboot, until_answered};
pub use wait_for_activation::settle;
pub use workdir::Workdir;
