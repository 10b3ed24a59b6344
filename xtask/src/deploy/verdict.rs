//! What became of a deploy, judged by what the host runs and never by what deploy-rs said.

use serde::Serialize;

use super::host::State;
use super::meant::Target;
use crate::failure::Kind;
use crate::nix::StorePath;

/// How deploy-rs ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    /// Whether it came to the point of activating anything on the host.
    pub activated: bool,
}

impl Ran {
    /// Whether the user stopped it.
    pub fn interrupted(self) -> bool {
        self.code == i32::from(Kind::Interrupted.code())
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
    /// It runs what is meant, but units have failed.
    UnitsFailed,
    /// It runs what it ran before, after an activation.
    RolledBack,
    /// It runs what it ran before: deploy-rs failed before it activated anything.
    NotActivated,
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
}

impl Verdict {
    /// The kind of failure that the verdict is; `None` where the host runs what is meant.
    pub fn failure(self) -> Option<Kind> {
        match self {
            Self::Done | Self::AlreadyCurrent => None,
            Self::UnitsFailed => Some(Kind::Degraded),
            Self::RolledBack | Self::Mismatch => Some(Kind::RolledBack),
            Self::NotActivated => Some(Kind::Other),
            Self::Stopped => Some(Kind::Interrupted),
            Self::Undecided => Some(Kind::Undecided),
        }
    }
}

/// Judges the state `after` deploy-rs ran.
pub fn judge(target: &Target, before: &State, after: &State, ran: Ran) -> Verdict {
    match (runs_what_is_meant(target, after), proof(target, after)) {
        (true, Proof::Link) if ran.code != 0 => Verdict::Undecided,
        (true, _) if !after.failed_units.is_empty() => Verdict::UnitsFailed,
        (true, _) => Verdict::Done,
        (false, _) if !same(before, after) => Verdict::Mismatch,
        (false, _) if ran.activated => Verdict::RolledBack,
        (false, _) if ran.interrupted() => Verdict::Stopped,
        (false, _) => Verdict::NotActivated,
    }
}

/// Judges the state before anything is done: a verdict where nothing needs to be done.
pub fn judge_before(target: &Target, before: &State) -> Option<Verdict> {
    let current = runs_what_is_meant(target, before);
    current.then_some(if before.failed_units.is_empty() {
        Verdict::AlreadyCurrent
    } else {
        Verdict::UnitsFailed
    })
}

/// Whether the profile is what is meant, and the running system the one that comes with it.
fn runs_what_is_meant(target: &Target, state: &State) -> bool {
    let profile = state.profile.as_ref() == Some(&target.path);
    profile && (proof(target, state) == Proof::Link || state.current.as_ref() == meant(target, state))
}

/// The system that is to run on the host: that of the flake, or else the one the profile activates.
pub fn meant<'a>(target: &'a Target, state: &'a State) -> Option<&'a StorePath> {
    target.system.as_ref().or(state.offered.as_ref())
}

pub fn proof(target: &Target, state: &State) -> Proof {
    match (&target.system, &state.current) {
        (Some(_), _) => Proof::System,
        (None, Some(_)) => Proof::Profile,
        (None, None) => Proof::Link,
    }
}

fn same(before: &State, after: &State) -> bool {
    (&before.current, &before.profile) == (&after.current, &after.profile)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::deploy::meant::Connection;

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
            builds_here: true,
            platform: None,
            other_profiles: Vec::new(),
            link: "/nix/var/nix/profiles/system".into(),
            path: store("profile"),
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
        let ill = State { failed_units: vec!["a.service".into()], ..new.clone() };
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
            let found = judge(target, before, after, Ran { code, activated });
            assert_eq!(found, expected, "{after:?}, exit code {code}");
        }
    }

    #[test]
    fn nothing_to_do() {
        let nixos = target(Some("new"));
        let ill = State { failed_units: vec!["a.service".into()], ..state("profile", Some("new")) };
        for (state, expected) in [
            (state("profile", Some("new")), Some(Verdict::AlreadyCurrent)),
            (ill, Some(Verdict::UnitsFailed)),
            (state("profile", Some("old")), None),
            (state("profile", None), None),
        ] {
            assert_eq!(judge_before(&nixos, &state), expected, "{state:?}");
        }
    }
}
