//! The host: connecting to it, reading its state, and waiting for it.

mod attempts;
mod boot_changes;
mod boot_facts;
mod deploy_rs_ssh;
mod disks;
mod excerpt;
mod first_contact;
mod health;
mod host_key_errors;
mod kept;
mod locked_keys;
mod offered_key;
mod options;
mod probe;
mod query;
mod rollback_generation;
mod ssh;
mod ssh_errors;
mod ssh_mux;
#[cfg(test)]
mod ssh_tests;
mod state;
mod store;
mod trial;
mod trial_commands;
#[cfg(test)]
mod trial_tests;
mod wait;
mod wait_for_activation;
mod workdir;

pub use boot_changes::clause as boot_changes_clause;
#[cfg(test)]
pub use boot_facts::tests::facts as boot_facts;
pub use boot_facts::{BootAnswer, BootFacts};
pub use deploy_rs_ssh::{deploy_rs_ssh, has_activation};
pub use disks::Disks;
pub use excerpt::tail;
pub use first_contact::{first_contact, is_dead};
pub use health::{Check, run_checks};
pub use host_key_errors::failure_label;
pub use kept::KeptConnections;
pub use offered_key::offered_key;
pub use options::{deploy_rs_ssh_opts, nix_ssh_opts};
pub use probe::{add_queries, probe, probe_after_deploy};
pub use query::{Answer, CLOSURE_TIMEOUT, PROBE_TIMEOUT, Query};
pub use rollback_generation::add_rollback_generation;
pub use ssh::Remote;
pub use ssh_mux::SshMux;
pub use state::{Activity, State};
pub use store::RemoteStore;
#[cfg(test)]
pub use trial::TrialOutcome;
pub use trial::{Blesser, LastTrial, Trial, TrialStatus};
pub use trial_commands::{
    TrialReboot, abort as abort_trial, arm as arm_trial, arm_and_reboot, bless as bless_trial,
    bless_and_probe, go_back, probe_systems_after_checks,
};
pub use wait::{
    has_rebooted, poll, reboot_and_probe, wait_for_reconnect, wait_until_reachable, with_boot_timeout,
};
pub use wait_for_activation::{report_stop, wait_for_activation};
pub use workdir::Workdir;
