//! What a deploy is about to do to a host, shown before it is done.

use std::fmt;

use super::boot_check::BootOutlook;
use super::closure::{Closure, Diff};
use super::host::{BootAnswer, RemoteStore, SshMux, State};
use super::host_lock::HostLock;
use super::options::{Afterwards, Goal};
use super::target::Target;
use super::timings::Timings;
use super::trial;
use super::verdict::{self, Verdict};
use super::via_cache::Copied;
use crate::base::CacheUrl;
use crate::nix::StorePath;

/// What the plan shows of a host whose links lead to no store path: it has no NixOS, or is an odd one.
const NO_SYSTEM: &str = "no NixOS system: neither /run/current-system nor the profile leads to one";

/// A host, its current state and its desired system.
#[derive(Debug)]
pub struct Plan {
    pub target: Target,
    pub goal: Goal,
    /// Whether the plan is only shown.
    pub is_dry_run: bool,
    pub afterwards: Afterwards,
    pub before: State,
    /// The current closure of the host, if the host listed it together with its state.
    pub closure: Option<Closure>,
    /// `None` if unknown, or if there is nothing to compare with.
    pub diff: Option<Diff>,
    /// The Nix of the host.
    pub store: RemoteStore,
    /// The paths of the desired closure that are not in the current one of the host, with their sizes in bytes; none
    /// unless both closures could be read.
    pub missing: Vec<(StorePath, u64)>,
    /// What the host answered about its boot, if it was asked together with its state.
    pub boot_answer: BootAnswer,
    /// What is known of the next boot, once the system is built; `None` also where nothing is known, as of a host that
    /// U-Boot does not start.
    pub boot: Option<BootOutlook>,
    /// How the system came to the host; `None` before it has.
    pub copied: Option<Copied>,
    /// The cache from which the host is to fetch the system.
    pub cache: Option<CacheUrl>,
    pub timings: Timings,
    /// The connection that commands share until the host is changed.
    pub mux: Option<SshMux>,
    /// Held until the plan is applied; `None` for a plan that is only shown.
    #[expect(dead_code, reason = "holds the lock")]
    pub lock: Option<HostLock>,
}

impl Plan {
    /// The verdict on a host that is already current; `None` if something needs to be done.
    pub fn already_done(&self) -> Option<Verdict> {
        verdict::judge_current(&self.target, self.goal, &self.before)
    }

    /// Whether the deploy would change or reboot the host.
    pub fn has_work(&self) -> bool {
        self.already_done().is_none() || self.will_reboot()
    }

    /// One line that says what would be done.
    pub fn summary(&self) -> String {
        let host = &self.target.host;
        let to = self.target.named_path();
        let Some(verdict) = self.already_done() else { return format!("{host} {}", self.changes_text()) };
        let state = match verdict {
            Verdict::Ready => format!("already boots {to} from its next boot on"),
            Verdict::OnTrial => format!("already tries {to} at its next boot"),
            _ => format!("already runs {to}"),
        };
        let left = if self.will_reboot() { "only the reboot is left" } else { "nothing to do" };
        format!("{host} {state}: {left}")
    }

    /// What would become of a host that is not current.
    fn changes_text(&self) -> String {
        let to = self.target.named_path();
        let changes = self.diff.as_ref().map(|diff| format!(": {}", diff.summary())).unwrap_or_default();
        match self.goal {
            _ if self.will_reboot() => format!("would run {to} after a reboot{changes}"),
            _ if self.other_profile().is_some() => {
                format!("already runs {to}: only its profile would change")
            }
            Goal::Boot => format!("would boot {to} from its next boot on{changes}"),
            Goal::Switch => format!("would run {to}{changes}"),
        }
    }

    /// What the user should know about the rollback if the deploy fails; `None` if deploy-rs can roll back.
    pub fn rollback_note(&self) -> Option<&'static str> {
        match &self.before {
            State { can_roll_back: true, .. } => None,
            State { profile: None, .. } => {
                Some("automatic rollback is not possible: there is no generation to roll back to")
            }
            _ if self.needs_rollback_generation() => Some(
                "deploy-rs rolls back only to systems that it deployed: the tool first adds a generation of the current \
                 system to which deploy-rs can roll back",
            ),
            _ => Some("automatic rollback is not possible: the current generation was not made by deploy-rs"),
        }
    }

    /// The profile of a host that runs the desired system, and has another profile than the desired one.
    fn other_profile(&self) -> Option<&StorePath> {
        let runs_desired = self.target.system.is_some() && self.before.current == self.target.system;
        self.before.profile.as_ref().filter(|profile| runs_desired && **profile != self.target.path)
    }

    /// What the user should know where only the profile changes.
    fn profile_note(&self) -> Option<String> {
        let Target { host, path, .. } = &self.target;
        self.other_profile().map(|profile| {
            format!(
                "{host} runs this system already: only its profile and its next boot change, the profile from {profile} \
                 to {path}"
            )
        })
    }

    /// Whether the deploy will reboot the host. Neither a host that is current and has booted what it runs is rebooted,
    /// nor one that is current with failed units.
    pub fn will_reboot(&self) -> bool {
        let has_reason = match self.already_done() {
            None => true,
            Some(Verdict::AlreadyCurrent) => self.before.awaits_reboot(),
            Some(verdict) => verdict.failure().is_none(),
        };
        self.afterwards == Afterwards::Reboot && has_reason
    }

    /// The faults of the next boot as notes. None if this deploy is about the next boot, because they refuse it then.
    fn boot_notes(&self) -> Vec<String> {
        match &self.boot {
            Some(outlook) if !self.is_about_boot() => {
                outlook.faults.iter().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What the user should know about the trial of the new system, if this deploy is to boot that system.
    fn trial_note(&self) -> Option<String> {
        let boots_new_system = self.goal == Goal::Boot || self.afterwards == Afterwards::Reboot;
        if boots_new_system { trial::next_boot_note(&self.target, &self.before) } else { None }
    }

    /// Whether deploy-rs cannot roll back to the current system, and the tool can add a generation that makes it
    /// possible.
    pub fn needs_rollback_generation(&self) -> bool {
        !self.before.can_roll_back && self.before.is_nixos && !self.target.interactive_sudo
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, connection, .. } = &self.target;
        let before = self.before.current.as_ref().or(self.before.profile.as_ref());
        let before = before.map_or(NO_SYSTEM, StorePath::as_str);
        let would = if self.is_dry_run { "would " } else { "" };
        let boot = if self.goal == Goal::Boot { " for the next boot of" } else { "" };
        writeln!(f, "{would}deploy{boot} {host} as {}", connection.destination)?;
        writeln!(f, "  from  {before}")?;
        write!(f, "  to    {}", self.target.named_path())?;
        if let Some(cache) = &self.cache {
            write!(f, "\n  via   {cache}")?;
        }
        if let Some(diff) = &self.diff {
            write!(f, "\n{diff}")?;
        }
        let rollback = self.rollback_note().map(str::to_owned);
        let notes = [self.profile_note(), rollback, self.trial_note()].into_iter().flatten();
        let notes = notes.chain(self.boot_notes());
        notes.into_iter().try_for_each(|note| write!(f, "\n  note  {note}"))
    }
}

/// The store path of a system as text; `an unknown system` for `None`.
pub fn path_text(path: Option<&StorePath>) -> &str {
    path.map_or("an unknown system", StorePath::as_str)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::deploy::verdict::tests::target;

    /// A plan for the host `stinky`, of which nothing is known.
    pub fn plan() -> Plan {
        Plan {
            target: target(None),
            goal: Goal::Switch,
            is_dry_run: false,
            afterwards: Afterwards::Stay,
            before: State::default(),
            closure: None,
            diff: None,
            store: RemoteStore::default(),
            missing: Vec::new(),
            boot_answer: BootAnswer::default(),
            boot: None,
            copied: None,
            cache: None,
            timings: Timings::default(),
            mux: None,
            lock: None,
        }
    }
}
