//! The state of hosts, without changing anything: what each runs, and how that differs from the flake.

use anyhow::Result;

use super::closure::{Closure, Diff};
use super::desired::Overrides;
use super::find_target::evaluate_all;
use super::gather::current_or_new_test;
use super::host::{
    self, Answer, CLOSURE_TIMEOUT, Disks, KeptConnections, PROBE_TIMEOUT, Query, Remote, State,
};
use super::multi_host::MAX_QUERIES;
use super::options::Goal;
use super::past_rollback::PastRollback;
use super::release::Release;
use super::remedies::failed_units_command;
use super::summary;
use super::target::Target;
use super::trial;
use super::verdict::{self, Verdict};
use crate::base::failure::{ExitKind, kind};
use crate::base::parallel;
use crate::base::{Context, Event, HostName, Timestamp, interrupt};

/// What says which systems hosts are to run.
#[derive(Clone, Copy, Debug)]
pub enum DesiredBy<'a> {
    /// The flake, which is evaluated with these arguments for Nix.
    Flake {
        nix_args: &'a [String],
    },
    Release(&'a Release),
}

/// The status of one host.
pub struct Status {
    pub host: HostName,
    /// What was read of the host, or why nothing could be read.
    pub observation: Result<Observation>,
    pub history: History,
}

/// The receipts of a host in this checkout.
#[derive(Default)]
pub struct History {
    /// The last flash or deploy, short enough for a table.
    pub last: Option<String>,
    /// Whether the last deploy did not end well.
    pub has_failed: bool,
    /// Whether the user stopped the last deploy: then nothing need be wrong with what was deployed.
    pub is_stopped: bool,
    /// The rollback after which nothing was deployed to the host, if any.
    pub rollback: Option<PastRollback>,
}

/// What was read of a host.
pub struct Observation {
    pub(super) target: Target,
    pub(super) state: State,
    pub(super) disks: Disks,
    pub(super) drift: Drift,
}

/// How what a host runs differs from the flake.
pub(super) enum Drift {
    Current,
    /// The host runs something else; with the diff, if both closures could be read.
    Differs(Option<Diff>),
}

/// What is left to do on a host, the first thing of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// A deploy.
    Deploy,
    /// The reboot that starts or tries the desired system.
    FirstBoot,
    /// The reboot that starts the kernel, or the like, of the system that runs.
    Reboot,
    /// The end of an activation, or of its rollback.
    Activation,
    /// A look at the units that have failed, by this command.
    FailedUnits { command: String },
    /// A flake that is to be mended: the host was rolled back at this time, and a deploy would undo that.
    Mend { rolled_back: Timestamp },
}

impl Status {
    /// Whether the host runs something else than the flake has.
    pub fn differs(&self) -> bool {
        let drift = self.observation.as_ref().map(|observation| &observation.drift);
        matches!(drift, Ok(Drift::Differs(_)))
    }

    /// What is left to do on the host; `None` for one that is well, and for one whose state could not be read. A system
    /// whose deploy has failed is not for the next boot, even if that starts it.
    pub fn left(&self) -> Option<Left> {
        let observation = self.observation.as_ref().ok()?;
        let rollback = self.history.rollback.as_ref().filter(|past| past.explains(&observation.state));
        match (observation.left()?, rollback) {
            (Left::Deploy, Some(past)) => Some(Left::Mend { rolled_back: past.when.clone() }),
            (Left::FirstBoot, _) if self.history.has_failed => Some(Left::Deploy),
            (left, _) => Some(left),
        }
    }
}

/// Reads the state of `hosts` in parallel, so that unreachable ones cost one time-out together. `desired` says what
/// they are to run, `history` returns the receipts of a host. Hosts are asked over the connections that are `kept`, if
/// any are to be.
///
/// # Errors
/// `Interrupted` if the user stops it.
pub fn statuses(
    cx: &Context,
    hosts: Vec<HostName>,
    overrides: &Overrides,
    desired: DesiredBy,
    kept: Option<&KeptConnections>,
    history: impl Fn(&HostName) -> History + Sync,
) -> Result<Vec<Status>> {
    let signals = interrupt::guard()?;
    let targets = match desired {
        DesiredBy::Flake { nix_args } => evaluate_all(cx, overrides, nix_args, &hosts),
        DesiredBy::Release(release) => {
            hosts.iter().map(|host| (release.target(cx, host, overrides), 0.0)).collect()
        }
    };
    let statuses = parallel::map(MAX_QUERIES, hosts.into_iter().zip(targets), |(host, (target, _))| {
        let observation = target.and_then(|target| {
            signals.check()?;
            observe(&cx.for_host(&host), target, kept)
        });
        Status { observation, history: history(&host), host }
    });
    signals.check()?;
    Ok(statuses)
}

/// Reads the state and the disks of the host, and compares the host with the flake.
fn observe(cx: &Context, target: Target, kept: Option<&KeptConnections>) -> Result<Observation> {
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let ask = |remote: &Remote| ask(remote, &target);
    let answer = kept.map_or_else(|| host::first_contact(&remote, ask), |kept| kept.ask(&remote, ask))?;
    let state = State::read(&answer);
    let drift = find_drift(cx, &remote, &target, &state, Closure::parse(&answer));
    Ok(Observation { disks: Disks::read(&answer), target, state, drift })
}

/// Asks the host for all that its status needs: another question would be another connection. The closure of a system
/// with which nothing here can be compared is not asked for.
fn ask(remote: &Remote, target: &Target) -> Result<Answer> {
    let mut query = Query::new("the query of the status")?;
    host::add_queries(&mut query, target);
    Disks::add_queries(&mut query);
    let mut timeout = PROBE_TIMEOUT;
    if target.desired_path().exists() {
        Closure::add_queries(&mut query, &current_or_new_test(target), target.running_link());
        timeout = CLOSURE_TIMEOUT;
    }
    remote.query(&query, timeout)
}

/// Compares what the host runs with the flake. Closures that cannot be read are a warning.
fn find_drift(
    cx: &Context,
    remote: &Remote,
    target: &Target,
    state: &State,
    closure: Option<Closure>,
) -> Drift {
    if verdict::judge_current(target, Goal::Switch, state).is_some() {
        return Drift::Current;
    }
    let desired = target.desired_path();
    let Some(running) = state.running_path(target).filter(|_| desired.exists()) else {
        return Drift::Differs(None);
    };
    let old = closure.map_or_else(|| Closure::query(remote, running.as_str()), Ok);
    match old.and_then(|old| Ok(Diff::new(&old, &Closure::read_local(&cx.launcher, desired)?))) {
        Ok(diff) => Drift::Differs(Some(diff)),
        Err(error) => {
            cx.warn_of(&error);
            Drift::Differs(None)
        }
    }
}

impl Observation {
    /// The packages that differ; `None` where nothing differs, or where a closure could not be read.
    pub(super) fn diff(&self) -> Option<&Diff> {
        if let Drift::Differs(diff) = &self.drift { diff.as_ref() } else { None }
    }

    /// [`Verdict::Ready`] or [`Verdict::OnTrial`] for a host that starts or tries the desired system at its next boot,
    /// and runs another one until then; `None` for any other.
    pub(super) fn next_boot(&self) -> Option<Verdict> {
        match self.drift {
            Drift::Current => None,
            Drift::Differs(_) => verdict::judge_current(&self.target, Goal::Boot, &self.state),
        }
    }

    /// See [`Status::left`]. Failed units come before the reboot of a host that runs the desired system: a deploy
    /// reboots no such host.
    fn left(&self) -> Option<Left> {
        match self.drift {
            _ if self.state.is_activating() == Some(true) => Some(Left::Activation),
            Drift::Differs(_) if self.next_boot().is_some() => Some(Left::FirstBoot),
            Drift::Differs(_) => Some(Left::Deploy),
            Drift::Current if !self.state.known_failed_units().is_empty() => {
                Some(Left::FailedUnits { command: failed_units_command(&self.target) })
            }
            Drift::Current => self.state.reboot_needed.then_some(Left::Reboot),
        }
    }
}

impl Status {
    /// Whether the host answered, be it only by an sshd that refused the login; `None` if the host was not asked.
    pub fn is_reachable(&self) -> Option<bool> {
        match self.observation.as_ref().map_err(kind) {
            Ok(_) | Err(ExitKind::HostKey | ExitKind::Permission | ExitKind::Undecided) => Some(true),
            Err(ExitKind::Unreachable) => Some(false),
            Err(_) => None,
        }
    }

    /// Warnings about the host, which get lines of their own below the table.
    pub fn remarks(&self) -> Vec<Event> {
        let host = &self.host;
        let observation = match &self.observation {
            Err(error) => return vec![Event::warning_of(error)],
            Ok(observation) => observation,
        };
        let read_only = observation.disks.read_only.iter().map(|device| {
            format!("{device} of {host} is mounted read-only, as the kernel does after an error")
        });
        read_only.chain(trial::remarks(host, &observation.state.trial)).map(Event::warning).collect()
    }
}

/// The error for hosts whose state could not be read, with the most severe kind; `None` if all could.
pub fn unreadable_states_error(statuses: &[Status]) -> Option<anyhow::Error> {
    let unread = statuses.iter().filter(|status| status.observation.is_err()).collect::<Vec<_>>();
    let kinds = unread.iter().filter_map(|status| status.observation.as_ref().err().map(kind));
    let worst = kinds.max_by_key(|kind| kind.severity())?;
    let names = summary::error_names(unread.iter().map(|status| status.host.as_str()));
    let noun = if statuses.len() == 1 { "host" } else { "hosts" };
    Some(worst.error(format!(
        "the state of {} of {} {noun} is unknown: {names}",
        unread.len(),
        statuses.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::verdict::tests::target;

    #[test]
    fn a_read_only_file_system_is_not_surely_a_fault() {
        let disks = Disks { free: None, read_only: vec!["/dev/sda1".to_owned()] };
        let state = State::default();
        let observation = Ok(Observation { target: target(None), state, disks, drift: Drift::Current });
        let status = Status { host: "stinky".into(), observation, history: History::default() };
        let expected = "/dev/sda1 of stinky is mounted read-only, as the kernel does after an error";
        assert_eq!(status.remarks(), [Event::warning(expected)]);
    }

    #[test]
    fn the_kind_of_an_error_decides_whether_the_host_answered() {
        for (failure, expected) in [
            (ExitKind::Unreachable, Some(false)),
            (ExitKind::HostKey, Some(true)),
            (ExitKind::Permission, Some(true)),
            (ExitKind::Undecided, Some(true)),
            (ExitKind::Other, None),
            (ExitKind::Usage, None),
            (ExitKind::Refused, None),
        ] {
            let status = Status {
                host: "stinky".into(),
                observation: Err(failure.error("no")),
                history: History::default(),
            };
            assert_eq!(status.is_reachable(), expected);
        }
    }
}
