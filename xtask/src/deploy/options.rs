//! What is asked of a deploy, the same for all hosts of one command.

use std::time::Duration;

use super::desired::Overrides;

/// What a deploy is to bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// What it would do is shown, and nothing is changed on the host.
    Show,
    /// The host runs it, now and after each boot.
    Switch,
    /// The host runs it from its next boot on.
    Boot,
}

/// What comes after a deploy that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    Stay,
    /// The host is rebooted, and asked again.
    Reboot,
}

/// The wishes of the user.
#[derive(Debug)]
pub struct DeployOptions {
    pub goal: Goal,
    pub afterwards: Afterwards,
    /// How long a host is waited for that does not answer yet.
    pub wait: Option<Duration>,
    /// Commands that must succeed on the host in the end.
    pub health: Vec<String>,
    pub overrides: Overrides,
    /// Arguments for deploy-rs, and behind a `--` for nix.
    pub extra: Vec<String>,
}

impl DeployOptions {
    /// The arguments that are for nix.
    pub fn nix_args(&self) -> &[String] {
        let end = self.extra.iter().position(|word| word == "--").map(|at| at + 1);
        &self.extra[end.unwrap_or(self.extra.len())..]
    }
}
