//! The options of a deploy, the same for all hosts of one command.

use std::sync::Arc;
use std::time::Duration;

use super::desired::Overrides;
use super::release::{Release, ReleaseMark};
use super::via_cache::ViaCache;
use super::waves::Waves;
use crate::identity::CacheKey;

/// What a deploy is to achieve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The host runs the system, now and after each boot.
    Switch,
    /// The host runs the system from its next boot on.
    Boot,
}

/// What follows a successful deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// Leave the host as it is.
    Stay,
    /// Reboot the host and verify it again.
    Reboot,
}

/// The options that the user gave.
#[derive(Debug)]
pub struct DeployOptions {
    pub goal: Goal,
    /// Whether the plan is only shown, and nothing changes on the host.
    pub is_dry_run: bool,
    pub afterwards: Afterwards,
    /// How long to wait for a host that does not answer yet, and after a reboot; `None` for no wait, and for
    /// [`BOOT_TIMEOUT`] after a reboot.
    pub wait: Option<Duration>,
    /// Commands that must succeed on the host at the end.
    pub health: Vec<String>,
    /// Whether the FIRMWARE of the host stays as it is, although the new system has another one.
    pub keep_firmware: bool,
    /// How several hosts are deployed.
    pub waves: Waves,
    /// The key that signs what is deployed, if the project has one.
    pub cache_key: Option<CacheKey>,
    /// The binary cache from which the hosts fetch their systems; `None` for direct copies.
    pub cache: Option<ViaCache>,
    pub overrides: Overrides,
    /// The release that says what hosts are to run; `None` for the flake.
    pub release: Option<Arc<Release>>,
    /// Arguments for deploy-rs, and after a `--` those for Nix.
    pub extra: Vec<String>,
}

/// How long a host may take to reboot, unless the user sets another limit.
const BOOT_TIMEOUT: Duration = Duration::from_secs(600);

impl DeployOptions {
    /// How long the host may take to reboot.
    pub fn boot_timeout(&self) -> Duration {
        self.wait.unwrap_or(BOOT_TIMEOUT)
    }

    /// What results have of the release.
    pub fn release_mark(&self) -> Option<ReleaseMark> {
        self.release.as_ref().map(|release| release.mark.clone())
    }

    /// The arguments for Nix: those of `extra` after a `--`.
    pub fn nix_args(&self) -> &[String] {
        match self.extra.iter().position(|word| word == "--") {
            Some(separator) => &self.extra[separator + 1..],
            None => &[],
        }
    }
}
