//! The verdict of a deploy, judged by what the host runs. What deploy-rs reports decides only on a host without
//! `/run/current-system`; elsewhere it only names why a host runs what it ran before.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::activation::DeployExit;
use super::host::State;
use super::options::Goal;
use super::target::Target;
use crate::base::Tone;
use crate::base::failure::ExitKind;
use crate::nix::StorePath;

/// What is true on the host after a deploy.
#[cfg_attr(test, derive(clap::ValueEnum))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The host runs the desired system.
    Done,
    /// The host already ran the desired system before the deploy.
    AlreadyCurrent,
    /// The host boots the desired system from its next boot on.
    Ready,
    /// The next boot of the host tries the desired system.
    OnTrial,
    /// The host runs the desired system with the kernel, initrd, device trees or kernel parameters of another one.
    RebootNeeded,
    /// The host runs the desired system, but units have failed.
    UnitsFailed,
    /// The host runs the desired system, and units that failed before are still failed.
    Degraded,
    /// The host runs the desired system, but a health check failed.
    Unhealthy,
    /// The host runs the desired system, but the user stopped the health checks.
    Unchecked,
    /// The host runs what it ran before, after an activation.
    RolledBack,
    /// The host was to try the desired system at a reboot, and has booted its blessed one.
    RolledBackAcrossReboot,
    /// The host runs the desired system on trial, and was not told to keep it.
    NotBlessed,
    /// The host runs the desired system, but was not rebooted, because the trial could not be armed.
    NotTried,
    /// The host did not answer any more after a reboot.
    NeverCameBack,
    /// The host runs what it ran before: deploy-rs failed before the activation.
    NotActivated,
    /// The host runs what it ran before: the closure was not copied completely.
    NotCopied,
    /// The host runs what it ran before: the user stopped deploy-rs before the activation.
    Stopped,
    /// The host runs something else, its profile and its running system differ, or its next boot starts another system.
    Mismatch,
    /// The host has no `/run/current-system`, its profile is the desired one, and deploy-rs failed.
    Undecided,
}

/// What a verdict is based on; each variant has what must hold for a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The running system is the flake's `nixosConfigurations.HOST`, and the profile is that of the node.
    System,
    /// The flake has no system of that name: the running system is the one that the node's profile activates.
    Profile,
    /// The host has no `/run/current-system`: its profile is that of the node, and deploy-rs succeeded.
    Link,
    /// The running system does not count: the profile is that of the node, and the host boots it.
    NextBoot,
}

impl Verdict {
    /// The exit kind of a verdict that is a failure; `None` for a success.
    pub fn failure(self) -> Option<ExitKind> {
        match self {
            Self::Done | Self::AlreadyCurrent | Self::Ready | Self::OnTrial | Self::RebootNeeded => None,
            Self::UnitsFailed | Self::Degraded | Self::Unhealthy => Some(ExitKind::Degraded),
            Self::RolledBack | Self::RolledBackAcrossReboot | Self::NotBlessed | Self::Mismatch => {
                Some(ExitKind::RolledBack)
            }
            Self::NeverCameBack => Some(ExitKind::Unreachable),
            Self::NotActivated | Self::NotCopied | Self::NotTried => Some(ExitKind::Other),
            Self::Stopped | Self::Unchecked => Some(ExitKind::Interrupted),
            Self::Undecided => Some(ExitKind::Undecided),
        }
    }

    /// The verdict of this name, as receipts have it; `None` for a name of another version.
    pub fn from_name(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    /// What the verdict means to the user.
    pub fn tone(self) -> Tone {
        match self {
            verdict if verdict.failure().is_some() => Tone::Bad,
            Self::RebootNeeded | Self::OnTrial => Tone::Attention,
            _ => Tone::Good,
        }
    }
}

/// Judges the host by its states `before` the deploy and `after` deploy-rs exited.
pub fn judge(target: &Target, goal: Goal, before: &State, after: &State, exit: DeployExit) -> Verdict {
    if !is_goal_reached(target, goal, after) {
        return judge_missed_goal(target, before, after, exit);
    }
    match basis(target, goal, after) {
        Basis::Link if exit.code != 0 => Verdict::Undecided,
        Basis::NextBoot if !runs_desired_system(target, after) => next_boot_verdict(target, after),
        _ => partial_verdict(before, after).unwrap_or(Verdict::Done),
    }
}

/// Judges a host that does not run, or boot, the desired system. After an activation the profile decides whether the
/// host has gone back: `before`, it may have been the desired one, of a deploy that failed in the same way.
fn judge_missed_goal(target: &Target, before: &State, after: &State, exit: DeployExit) -> Verdict {
    let [had_profile, has_profile] =
        [before, after].map(|state| state.profile.as_ref() == Some(&target.path));
    let has_gone_back = had_profile && !has_profile && before.current == after.current;
    let is_as_before = is_unchanged(before, after) || exit.activated && has_gone_back;
    if !is_as_before || exit.activated && has_profile {
        Verdict::Mismatch
    } else if exit.activated {
        Verdict::RolledBack
    } else if exit.is_interrupted() {
        Verdict::Stopped
    } else {
        Verdict::NotActivated
    }
}

/// The verdict on a host that reaches the goal already `before` the deploy; `None` if a deploy is needed.
pub fn judge_current(target: &Target, goal: Goal, before: &State) -> Option<Verdict> {
    if !is_goal_reached(target, goal, before) {
        None
    } else if runs_desired_system(target, before) {
        Some(partial_verdict(before, before).unwrap_or(Verdict::AlreadyCurrent))
    } else {
        Some(next_boot_verdict(target, before))
    }
}

/// The verdict on a host that starts the desired system at its next boot.
fn next_boot_verdict(target: &Target, state: &State) -> Verdict {
    if is_desired_pending(target, state) { Verdict::OnTrial } else { Verdict::Ready }
}

/// Whether the next boot of the host tries the desired system.
pub fn is_desired_pending(target: &Target, state: &State) -> bool {
    let pending = state.trial.status().and_then(|status| status.pending.as_ref());
    pending.is_some() && pending == desired_system(target, state)
}

/// Judges a host after a reboot: the booted system, if the host reports it, must be the current one too.
pub fn judge_after_reboot(target: &Target, before: &State, after: &State) -> Verdict {
    let has_booted_current = after.booted.is_none() || after.booted == after.current;
    if runs_desired_system(target, after) && has_booted_current {
        partial_verdict(before, after).unwrap_or(Verdict::Done)
    } else {
        Verdict::Mismatch
    }
}

/// The verdict on a host that runs the desired system, but needs a reboot, or has failed units: new ones weigh more
/// than those that had failed `before`. `None` for a host without either.
pub fn partial_verdict(before: &State, after: &State) -> Option<Verdict> {
    let failed_before = before.known_failed_units().iter().collect::<BTreeSet<_>>();
    let failed_after = after.known_failed_units();
    if failed_after.iter().any(|unit| !failed_before.contains(unit)) {
        Some(Verdict::UnitsFailed)
    } else if !failed_after.is_empty() {
        Some(Verdict::Degraded)
    } else if after.reboot_needed {
        Some(Verdict::RebootNeeded)
    } else {
        None
    }
}

/// Whether a host in `state` needs no deploy to reach the goal.
fn is_goal_reached(target: &Target, goal: Goal, state: &State) -> bool {
    let has_desired = match goal {
        Goal::Boot => state.profile.as_ref() == Some(&target.path),
        Goal::Switch => runs_desired_system(target, state),
    };
    has_desired && other_next_boot(target, state).is_none()
}

/// The system that the next boot starts, if that is known and another than the desired one. On a host with trials the
/// profile does not decide which system that is. `None` also while the desired system is on trial.
pub fn other_next_boot<'a>(target: &Target, state: &'a State) -> Option<&'a StorePath> {
    let status = state.trial.status()?;
    let desired = desired_system(target, state)?;
    if status.on_trial.as_ref() == Some(desired) {
        return None;
    }
    status.next_boot().filter(|next| *next != desired)
}

/// Whether the host has the desired profile and runs the desired system. Where the flake has no NixOS system, and the
/// host no `/run/current-system`, the profile alone decides.
fn runs_desired_system(target: &Target, state: &State) -> bool {
    if state.profile.as_ref() != Some(&target.path) {
        return false;
    }
    let is_judged_by_link = basis(target, Goal::Switch, state) == Basis::Link;
    is_judged_by_link || state.current.as_ref() == desired_system(target, state)
}

/// The system that the host is to run: the NixOS system of the flake, or else the system that the desired profile
/// activates. `None` where the flake has no NixOS system, and the host does not have the desired profile yet.
pub fn desired_system<'a>(target: &'a Target, state: &'a State) -> Option<&'a StorePath> {
    target.system.as_ref().or(state.profile_system.as_ref())
}

/// What a verdict on `state` is based on.
pub fn basis(target: &Target, goal: Goal, state: &State) -> Basis {
    if goal == Goal::Boot {
        return Basis::NextBoot;
    }
    match (&target.system, &state.current) {
        (Some(_), _) => Basis::System,
        (None, Some(_)) => Basis::Profile,
        (None, None) => Basis::Link,
    }
}

/// Whether the host has the same running system and the same profile in both states.
pub fn is_unchanged(before: &State, after: &State) -> bool {
    (&before.current, &before.profile) == (&after.current, &after.profile)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::deploy::desired::NodeSettings;
    use crate::deploy::target::{Connection, GoesBack};

    /// A store path with this name.
    pub fn store(name: &str) -> StorePath {
        StorePath::containing(&format!("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-{name}")).unwrap()
    }

    /// The target `stinky`, which is to get the profile `profile`. The flake has the NixOS system `system`, if any.
    pub fn target(system: Option<&str>) -> Target {
        Target {
            host: "stinky".into(),
            release: None,
            settings: NodeSettings::default(),
            connection: Connection { destination: "root@pi".into(), options: Vec::new(), pin: None },
            sudo: None,
            temp_path: "/tmp".into(),
            confirm_timeout: 30,
            activation_timeout: 240,
            goes_back: GoesBack { after_failure: true, without_confirmation: true },
            fast_connection: false,
            interactive_sudo: false,
            builds_here: true,
            platform: None,
            other_profiles: Vec::new(),
            link: "/nix/var/nix/profiles/system".into(),
            path: store("profile"),
            derivation: None,
            pinned: serde_json::Value::Null,
            configuration: None,
            uncopied_keys: Vec::new(),
            system: system.map(store),
            revision: None,
        }
    }

    /// The state of a host with the profile `profile`, which runs the system `current`. The desired profile, which
    /// is in the store of the host, activates the system `new`.
    pub fn state(profile: &str, current: Option<&str>) -> State {
        let profile_system = Some(store("new"));
        State {
            profile: Some(store(profile)),
            current: current.map(store),
            profile_system,
            ..State::default()
        }
    }
}
