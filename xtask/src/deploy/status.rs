//! The state of hosts, without changing anything: what each runs, and how that differs from the flake.

use anyhow::Result;
use serde_json::{Value, json};

use super::closure::{Closure, Diff};
use super::desired::Overrides;
use super::gather::evaluate;
use super::host::{self, Disks, Remote, State, probe};
use super::options::Goal;
use super::target::Target;
use super::trial;
use super::verdict;
use crate::base::failure::{self, ExitKind, kind};
use crate::base::parallel;
use crate::base::{Bytes, Context, HostName, Table, interrupt};

/// How many hosts are queried in parallel.
const MAX_HOSTS: usize = 16;

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
    /// The last flash and the last deploy, as text.
    pub words: Vec<String>,
    /// The later of the two, short enough for a table.
    pub last: Option<String>,
}

/// What was read of a host.
pub struct Observation {
    target: Target,
    state: State,
    disks: Disks,
    drift: Drift,
}

/// How what a host runs differs from the flake.
enum Drift {
    Current,
    /// The host runs something else; with the diff, if the desired system is in the local store.
    Differs(Option<Diff>),
}

/// Reads the state of `hosts` in parallel, so that unreachable ones cost one time-out together. `history` returns the
/// receipts of a host.
///
/// # Errors
/// `Interrupted` if the user stops it.
pub fn statuses(
    cx: &Context,
    hosts: Vec<HostName>,
    overrides: &Overrides,
    nix_args: &[String],
    history: impl Fn(&HostName) -> History + Sync,
) -> Result<Vec<Status>> {
    let signals = interrupt::guard()?;
    let found = parallel::map(parallel::max_evaluations(), &hosts, |host| {
        let evaluate = || evaluate(&cx.for_host(host), overrides, nix_args, host);
        signals.check().and_then(|()| evaluate())
    });
    let statuses = parallel::map(MAX_HOSTS, hosts.into_iter().zip(found), |(host, target)| {
        let observe = |target| observe(&cx.for_host(&host), target);
        let observation = target.and_then(|target| signals.check().and_then(|()| observe(target)));
        Status { observation, history: history(&host), host }
    });
    signals.check().map(|()| statuses)
}

fn observe(cx: &Context, target: Target) -> Result<Observation> {
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let state = probe(&remote, &target)?;
    let disks = Disks::read(&remote)?;
    let drift = drift(cx, &remote, &target, &state);
    Ok(Observation { target, state, disks, drift })
}

fn drift(cx: &Context, remote: &Remote, target: &Target, state: &State) -> Drift {
    if verdict::judge_current(target, Goal::Switch, state).is_some() {
        return Drift::Current;
    }
    let from = state.running_path(target).filter(|_| target.desired_path().exists());
    let diff = from.map(|from| {
        let from = Closure::remote(remote, from.as_str())?;
        Ok(Diff::new(&from, &Closure::local(&cx.launcher, target.desired_path())?))
    });
    let or_warn = |diff: Result<Diff>| diff.inspect_err(|error| cx.warn(failure::with_hint(error))).ok();
    Drift::Differs(diff.and_then(or_warn))
}

impl Observation {
    fn runs(&self) -> String {
        match &self.drift {
            Drift::Current => "current".into(),
            Drift::Differs(Some(diff)) => format!("behind: {}", diff.summary()),
            Drift::Differs(None) => "another system".into(),
        }
    }

    fn booted(&self) -> &'static str {
        match &self.state {
            State { reboot_needed: true, .. } => "reboot pending",
            State { booted, current, .. } if booted == current => "current",
            State { booted: None, .. } => "-",
            _ => "an earlier system",
        }
    }

    fn units(&self) -> String {
        match self.state.failed_units.as_deref() {
            None => "unknown".into(),
            Some([]) => "-".into(),
            Some(_) => self.state.failed_units_text(),
        }
    }

    fn json(&self) -> Value {
        let diff = if let Drift::Differs(diff) = &self.drift { diff.as_ref() } else { None };
        json!({
            "current": matches!(self.drift, Drift::Current),
            "runs": self.state.current,
            "profile": self.state.profile,
            "meant": { "system": self.target.system, "profile": self.target.path },
            "diff": diff,
            "booted": self.state.booted,
            "reboot_pending": self.state.reboot_needed,
            "failed_units": self.state.failed_units,
            "free_bytes": self.disks.free,
            "read_only": self.disks.read_only,
            "trial": self.state.trial,
        })
    }
}

impl Status {
    pub fn json(&self) -> Value {
        let mut value = match &self.observation {
            Ok(observation) => observation.json(),
            Err(error) => json!({ "error": format!("{error:#}"), "exit_code": kind(error).code() }),
        };
        if let Some(hint) = self.observation.as_ref().err().and_then(failure::hint) {
            value["hint"] = hint.into();
        }
        value["host"] = self.host.as_str().into();
        value["reachable"] = json!(self.reachable());
        value["history"] = json!(self.history.words);
        value
    }

    /// Whether the host answers, or its sshd that refuses the login; `None` if it was not asked.
    fn reachable(&self) -> Option<bool> {
        match self.observation.as_ref().map_err(kind) {
            Ok(_) | Err(ExitKind::HostKey | ExitKind::Permission | ExitKind::Undecided) => Some(true),
            Err(ExitKind::Unreachable) => Some(false),
            Err(_) => None,
        }
    }

    /// Warnings that get a line of their own.
    pub fn remarks(&self) -> Vec<String> {
        let host = &self.host;
        match &self.observation {
            Err(error) => vec![failure::with_hint(error)],
            Ok(observation) => {
                let devices = observation.disks.read_only.iter();
                let read_only = devices
                    .map(|device| format!("{device} of {host} is read-only: the kernel found errors on it"));
                read_only.chain(trial::remarks(host, &observation.state.trial)).collect()
            }
        }
    }

    /// The cell of the column `TRIAL`; `None` for a host without trials.
    fn trial(&self) -> Option<&'static str> {
        self.observation.as_ref().ok().and_then(|observation| trial::table_cell(&observation.state.trial))
    }

    fn cells(&self, with_trials: bool) -> Vec<String> {
        let dash = || "-".to_owned();
        let trial = with_trials.then(|| self.trial().unwrap_or("-").to_owned());
        let last = self.history.last.clone().unwrap_or_else(dash);
        let (runs, booted, units, free) = match &self.observation {
            Ok(it) => {
                let free = it.disks.free.map_or_else(dash, |bytes| Bytes(bytes).to_string());
                (it.runs(), it.booted().to_owned(), it.units(), free)
            }
            Err(error) => {
                let why = host::failure_label(error).unwrap_or("unknown");
                (why.to_owned(), dash(), dash(), dash())
            }
        };
        let begin = [self.host.to_string(), runs, booted];
        begin.into_iter().chain(trial).chain([units, free, last]).collect()
    }
}

/// A table with a row for each host. It has a column for trials if one of the hosts has them.
pub fn status_table(statuses: &[Status]) -> Table {
    let with_trials = statuses.iter().any(|status| status.trial().is_some());
    let trial = with_trials.then_some("TRIAL");
    let headers = ["HOST", "RUNS", "BOOTED"].into_iter().chain(trial).chain(["FAILED UNITS", "FREE", "LAST"]);
    let mut table = Table::new(&headers.collect::<Vec<_>>());
    for status in statuses {
        table.row(status.cells(with_trials));
    }
    table
}

/// The error for hosts whose state could not be read, with the most severe kind; `None` if all could.
pub fn unreadable_states(statuses: &[Status]) -> Option<anyhow::Error> {
    let errors =
        statuses.iter().filter_map(|status| Some((&status.host, status.observation.as_ref().err()?)));
    let errors = errors.collect::<Vec<_>>();
    let worst = errors.iter().map(|(_, error)| kind(error)).max_by_key(|kind| kind.severity())?;
    let names = errors.iter().map(|(host, _)| host.as_str()).collect::<Vec<_>>().join(", ");
    Some(worst.error(format!(
        "the state of {} of {} hosts is unknown: {names}",
        errors.len(),
        statuses.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_errors_mean_that_the_host_answered() {
        for (failure, expected) in [
            (ExitKind::Unreachable, json!(false)),
            (ExitKind::HostKey, json!(true)),
            (ExitKind::Permission, json!(true)),
            (ExitKind::Undecided, json!(true)),
            (ExitKind::Other, json!(null)),
            (ExitKind::Usage, json!(null)),
            (ExitKind::Refused, json!(null)),
        ] {
            let status = Status {
                host: "stinky".into(),
                observation: Err(failure.error("no")),
                history: History::default(),
            };
            let expected = json!({
                "host": "stinky", "reachable": expected, "error": "no", "exit_code": failure.code(), "history": [],
            });
            assert_eq!(status.json(), expected);
        }
    }
}
