//! What became of a deploy, judged by what the host runs and never by what deploy-rs said.

use std::collections::BTreeSet;

use serde::Serialize;

use super::host::State;
use super::options::Goal;
use super::target::Target;
use crate::base::failure::ExitKind;
use crate::nix::StorePath;

/// How deploy-rs ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeployExit {
    pub code: i32,
    /// Whether it came to the point of activating anything on the host.
    pub activated: bool,
    /// Whether the activation said that only a reboot can bring the system about.
    pub wants_reboot: bool,
}

impl DeployExit {
    /// Whether the user stopped it.
    pub fn interrupted(self) -> bool {
        self.code == i32::from(ExitKind::Interrupted.code())
    }
}

/// What is true on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It runs what is meant.
    Done,
    /// It ran what is meant before anything was done.
    AlreadyCurrent,
    /// It boots what is meant from its next boot on.
    Ready,
    /// It runs what is meant, but its kernel is that of another system.
    RebootNeeded,
    /// It runs what is meant, but units have failed.
    UnitsFailed,
    /// It runs what is meant, and units that had failed before still are.
    Degraded,
    /// It runs what is meant, but a command that was to succeed on it did not.
    Unhealthy,
    /// It runs what is meant, but the user stopped the commands that were to tell whether it works.
    Unchecked,
    /// It runs what it ran before, after an activation.
    RolledBack,
    /// It runs what it ran before: deploy-rs failed before it activated anything.
    NotActivated,
    /// It runs what it ran before: not all arrived there.
    NotCopied,
    /// It runs what it ran before: deploy-rs was stopped before it activated anything.
    Stopped,
    /// It runs something else, or its profile and its running system disagree.
    Mismatch,
    /// The host has no `/run/current-system`, its profile is what is meant, and deploy-rs failed.
    Undecided,
}

/// What the verdict stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The running system is the flake's `nixosConfigurations.HOST`, and the profile is the node's.
    System,
    /// The flake has no such system: the running system is the one that the node's profile activates.
    Profile,
    /// The host has no running system to compare: its profile is the node's, and deploy-rs agreed.
    Link,
    /// What the host runs does not matter: its profile is the node's, and is what it boots.
    NextBoot,
}

impl Verdict {
    /// The kind of failure that the verdict is; `None` where the host runs what is meant.
    pub fn failure(self) -> Option<ExitKind> {
        match self {
            Self::Done | Self::AlreadyCurrent | Self::Ready | Self::RebootNeeded => None,
            Self::UnitsFailed | Self::Degraded | Self::Unhealthy => Some(ExitKind::Degraded),
            Self::RolledBack | Self::Mismatch => Some(ExitKind::RolledBack),
            Self::NotActivated | Self::NotCopied => Some(ExitKind::Other),
            Self::Stopped | Self::Unchecked => Some(ExitKind::Interrupted),
            Self::Undecided => Some(ExitKind::Undecided),
        }
    }
}

/// Judges the state `after` deploy-rs ran.
pub fn judge(target: &Target, goal: Goal, before: &State, after: &State, ran: DeployExit) -> Verdict {
    let good = is_as_meant(target, goal, after);
    match (good, proof(target, goal, after)) {
        (true, Proof::Link) if ran.code != 0 => Verdict::Undecided,
        (true, Proof::NextBoot) if !runs_what_is_meant(target, after) => Verdict::Ready,
        (true, _) => quality(before, after).unwrap_or(Verdict::Done),
        (false, _) if !same(before, after) => Verdict::Mismatch,
        (false, _) if ran.activated => Verdict::RolledBack,
        (false, _) if ran.interrupted() => Verdict::Stopped,
        (false, _) => Verdict::NotActivated,
    }
}

/// Judges the state before anything is done: a verdict where nothing needs to be done.
pub fn judge_before(target: &Target, goal: Goal, before: &State) -> Option<Verdict> {
    if !is_as_meant(target, goal, before) {
        return None;
    }
    let runs = runs_what_is_meant(target, before);
    Some(if runs { quality(before, before).unwrap_or(Verdict::AlreadyCurrent) } else { Verdict::Ready })
}

/// Judges a host that has rebooted: what it booted counts too.
pub fn judge_booted(target: &Target, before: &State, after: &State) -> Verdict {
    let booted = after.booted.is_none() || after.booted == after.current;
    if runs_what_is_meant(target, after) && booted {
        quality(before, after).unwrap_or(Verdict::Done)
    } else {
        Verdict::Mismatch
    }
}

/// What there is to say against a host that runs what is meant.
fn quality(before: &State, after: &State) -> Option<Verdict> {
    let known = before.failed().iter().collect::<BTreeSet<_>>();
    if after.failed().iter().any(|unit| !known.contains(unit)) {
        Some(Verdict::UnitsFailed)
    } else if !after.failed().is_empty() {
        Some(Verdict::Degraded)
    } else {
        after.reboot_needed.then_some(Verdict::RebootNeeded)
    }
}

/// Whether the goal is reached.
fn is_as_meant(target: &Target, goal: Goal, state: &State) -> bool {
    match goal {
        Goal::Boot => state.profile.as_ref() == Some(&target.path),
        Goal::Show | Goal::Switch => runs_what_is_meant(target, state),
    }
}

/// Whether the profile is what is meant, and the running system the one that comes with it.
fn runs_what_is_meant(target: &Target, state: &State) -> bool {
    let profile = state.profile.as_ref() == Some(&target.path);
    profile
        && (proof(target, Goal::Switch, state) == Proof::Link
            || state.current.as_ref() == meant(target, state))
}

/// The system that is to run on the host: that of the flake, or else the one the profile activates.
pub fn meant<'a>(target: &'a Target, state: &'a State) -> Option<&'a StorePath> {
    target.system.as_ref().or(state.offered.as_ref())
}

pub fn proof(target: &Target, goal: Goal, state: &State) -> Proof {
    match (&target.system, &state.current) {
        _ if goal == Goal::Boot => Proof::NextBoot,
        (Some(_), _) => Proof::System,
        (None, Some(_)) => Proof::Profile,
        (None, None) => Proof::Link,
    }
}

/// Whether the host runs and boots the same.
pub fn same(before: &State, after: &State) -> bool {
    (&before.current, &before.profile) == (&after.current, &after.profile)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::deploy::target::Connection;

    pub fn store(name: &str) -> StorePath {
        StorePath::containing(&format!("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-{name}")).unwrap()
    }

    pub fn target(system: Option<&str>) -> Target {
        Target {
            host: "stinky".into(),
            connection: Connection { destination: "root@pi".into(), options: Vec::new(), pin: None },
            sudo: None,
            temp_path: "/tmp".into(),
            confirm_timeout: 30,
            activation_timeout: 240,
            fast_connection: false,
            interactive_sudo: false,
            builds_here: true,
            platform: None,
            other_profiles: Vec::new(),
            link: "/nix/var/nix/profiles/system".into(),
            path: store("profile"),
            derivation: None,
            pinned: serde_json::Value::Null,
            system: system.map(store),
        }
    }

    pub fn state(profile: &str, current: Option<&str>) -> State {
        let offered = Some(store("new"));
        State { profile: Some(store(profile)), current: current.map(store), offered, ..State::default() }
    }

    #[test]
    fn deploy_rs_is_not_believed() {
        let (nixos, plain) = (target(Some("new")), target(None));
        let (old, new) = (state("before", Some("old")), state("profile", Some("new")));
        let ill = State { failed_units: Some(vec!["a.service".into()]), ..new.clone() };
        let (link_old, link_new) = (state("before", None), state("profile", None));
        for (target, before, after, code, activated, expected) in [
            (&nixos, &old, &new, 0, true, Verdict::Done),
            (&nixos, &old, &new, 1, true, Verdict::Done),
            (&plain, &old, &new, 0, true, Verdict::Done),
            (&nixos, &old, &ill, 0, true, Verdict::UnitsFailed),
            (&nixos, &old, &old, 0, true, Verdict::RolledBack),
            (&nixos, &old, &old, 1, true, Verdict::RolledBack),
            (&nixos, &old, &old, 1, false, Verdict::NotActivated),
            (&nixos, &old, &old, 130, false, Verdict::Stopped),
            (&nixos, &old, &old, 130, true, Verdict::RolledBack),
            (&nixos, &old, &state("profile", Some("old")), 0, true, Verdict::Mismatch),
            (&plain, &old, &state("profile", Some("old")), 1, true, Verdict::Mismatch),
            (&nixos, &old, &state("other", Some("other")), 0, true, Verdict::Mismatch),
            (&target(Some("another")), &old, &new, 0, true, Verdict::Mismatch),
            (&plain, &link_old, &link_new, 0, true, Verdict::Done),
            (&plain, &link_old, &link_new, 1, true, Verdict::Undecided),
        ] {
            let ran = DeployExit { code, activated, wants_reboot: false };
            let found = judge(target, Goal::Switch, before, after, ran);
            assert_eq!(found, expected, "{after:?}, exit code {code}");
        }
    }

    #[test]
    fn the_next_boot() {
        let target = target(Some("new"));
        let (old, set) = (state("before", Some("old")), state("profile", Some("old")));
        for (after, code, expected) in [
            (&set, 0, Verdict::Ready),
            (&set, 1, Verdict::Ready),
            (&old, 0, Verdict::RolledBack),
            (&state("other", Some("old")), 0, Verdict::Mismatch),
            (&state("profile", Some("new")), 0, Verdict::Done),
        ] {
            let ran = DeployExit { code, activated: true, wants_reboot: false };
            assert_eq!(judge(&target, Goal::Boot, &old, after, ran), expected, "{after:?}");
        }
        let booted = |path: &str| State { booted: Some(store(path)), ..state("profile", Some("new")) };
        for (after, expected) in [
            (booted("new"), Verdict::Done),
            (booted("old"), Verdict::Mismatch),
            (set.clone(), Verdict::Mismatch),
        ] {
            assert_eq!(judge_booted(&target, &set, &after), expected, "{after:?}");
        }
    }

    #[test]
    fn what_there_is_to_say_against_it() {
        let with = |units: &str, reboot_needed: bool| State {
            failed_units: Some(units.split_whitespace().map(str::to_owned).collect()),
            reboot_needed,
            ..State::default()
        };
        for (before, after, expected) in [
            (with("", false), with("", false), None),
            (with("", false), with("", true), Some(Verdict::RebootNeeded)),
            (with("", false), with("a", true), Some(Verdict::UnitsFailed)),
            (with("a", false), with("a b", false), Some(Verdict::UnitsFailed)),
            (with("a b", false), with("a", false), Some(Verdict::Degraded)),
            (State::default(), with("a", false), Some(Verdict::UnitsFailed)),
            (with("a", false), State::default(), None),
        ] {
            assert_eq!(quality(&before, &after), expected, "{after:?}");
        }
        // To compare each unit with each would take hours.
        let many = (0..300_000).map(|number| format!("{number} ")).collect::<String>();
        assert_eq!(quality(&with(&many, false), &with(&many, false)), Some(Verdict::Degraded));
    }

    #[test]
    fn nothing_to_do() {
        let nixos = target(Some("new"));
        let ill = State { failed_units: Some(vec!["a.service".into()]), ..state("profile", Some("new")) };
        for (state, expected) in [
            (state("profile", Some("new")), Some(Verdict::AlreadyCurrent)),
            (ill, Some(Verdict::Degraded)),
            (state("profile", Some("old")), None),
            (state("profile", None), None),
        ] {
            assert_eq!(judge_before(&nixos, Goal::Switch, &state), expected, "{state:?}");
        }
        let set = state("profile", Some("old"));
        assert_eq!(judge_before(&nixos, Goal::Boot, &set), Some(Verdict::Ready));
    }
}
