//! The state of a host, for programs.

use schemars::JsonSchema;
use serde::Serialize;

use super::closure::Diff;
use super::host::{State, Trial};
use super::results::DesiredSystem;
use super::status::{Drift, Observation, Status};
use crate::base::{ErrorReport, HostName};
use crate::nix::StorePath;

/// What programs get of the state of a host.
#[derive(Serialize, JsonSchema)]
pub struct HostStatus {
    host: HostName,
    /// Whether the host answered, be it only by an sshd that refused the login; `None` if the host was not asked.
    reachable: Option<bool>,
    /// Why the state of the host could not be read. All fields below are then null.
    error: Option<ErrorReport>,
    /// Whether the host runs what the flake has.
    current: Option<bool>,
    /// Whether the host runs something else, and starts or tries what the flake has at its next boot.
    boots_desired_next: Option<bool>,
    /// The system that the host runs.
    system: Option<StorePath>,
    booted_system: Option<StorePath>,
    profile: Option<StorePath>,
    desired: Option<DesiredSystem>,
    /// The packages that differ, if both closures could be read.
    diff: Option<Diff>,
    reboot_pending: Option<bool>,
    /// Whether an activation, or its rollback, is running on the host; also `None` where the host does not tell.
    activates: Option<bool>,
    /// The failed units; also `None` if no systemd answers.
    failed_units: Option<Vec<String>>,
    /// Free space for the Nix store.
    free_bytes: Option<u64>,
    /// Devices of file systems that became read-only.
    read_only: Option<Vec<String>>,
    /// What the host knows of trials; also `None` if it has none.
    trial: Option<Trial>,
}

impl HostStatus {
    pub fn of(status: &Status) -> Self {
        let read = status.observation.as_ref().ok();
        let state = read.map(|read| &read.state);
        Self {
            host: status.host.clone(),
            reachable: status.is_reachable(),
            error: status.observation.as_ref().err().map(ErrorReport::of),
            current: read.map(|read| matches!(read.drift, Drift::Current)),
            boots_desired_next: read.map(|read| read.next_boot().is_some()),
            system: state.and_then(|state| state.current.clone()),
            booted_system: state.and_then(|state| state.booted.clone()),
            profile: state.and_then(|state| state.profile.clone()),
            desired: read.map(|read| DesiredSystem::of(&read.target)),
            diff: read.and_then(Observation::diff).cloned(),
            reboot_pending: state.map(|state| state.reboot_needed),
            activates: state.and_then(State::is_activating),
            failed_units: state.and_then(|state| state.failed_units.clone()),
            free_bytes: read.and_then(|read| read.disks.free),
            read_only: read.map(|read| read.disks.read_only.clone()),
            trial: state.map(|state| state.trial.clone()),
        }
    }
}
