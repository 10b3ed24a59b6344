//! How hosts are now, without changing anything: what each runs, and how far that is from what it is meant to run.

use anyhow::Result;
use serde_json::{Value, json};

use super::closure::{Closure, Diff};
use super::desired::Overrides;
use super::gather::evaluate;
use super::host::{Disks, Remote, State, probe};
use super::options::Goal;
use super::target::Target;
use super::verdict;
use crate::base::failure::{ExitKind, kind};
use crate::base::parallel;
use crate::base::{Bytes, Context, Table, interrupt};

/// How many hosts are looked at once; each of them evaluates its part of the flake.
const AT_ONCE: usize = 16;

/// One host.
pub struct Status {
    pub host: String,
    /// Why nothing is known of it, otherwise.
    pub seen: Result<Seen>,
    pub history: History,
}

/// What was done to a host from this checkout.
#[derive(Default)]
pub struct History {
    /// The last flash and the last deploy, in words.
    pub words: Vec<String>,
    /// The later of the two, as short as it is in a table.
    pub last: Option<String>,
}

/// What was seen of a host.
pub struct Seen {
    target: Target,
    state: State,
    disks: Disks,
    behind: Behind,
}

/// How what a host runs relates to what the flake says.
enum Behind {
    Current,
    /// It runs something else, by so much where the system that is meant is in the store of this machine.
    Other(Option<Diff>),
}

/// Looks at `hosts` side by side: those that cannot be reached cost one time-out together. `history` has what is
/// known of a host from before.
///
/// # Errors
/// `Interrupted` where the user stops it.
pub fn statuses(
    cx: &Context,
    hosts: Vec<String>,
    history: impl Fn(&str) -> History + Sync,
) -> Result<Vec<Status>> {
    let hold = interrupt::guard()?;
    let statuses = parallel::map(AT_ONCE, hosts, |host| {
        let own = cx.for_host(&host);
        Status { seen: hold.check().and_then(|()| look(&own, &host)), history: history(&host), host }
    });
    hold.check().map(|()| statuses)
}

fn look(cx: &Context, host: &str) -> Result<Seen> {
    let target = evaluate(cx, &Overrides::default(), &[], host)?;
    let remote = Remote::new(&cx.launcher, host, &target.connection);
    let state = probe(&remote, &target)?;
    let disks = Disks::read(&remote)?;
    let behind = behind(cx, &remote, &target, &state);
    Ok(Seen { target, state, disks, behind })
}

fn behind(cx: &Context, remote: &Remote, target: &Target, state: &State) -> Behind {
    if verdict::judge_before(target, Goal::Switch, state).is_some() {
        return Behind::Current;
    }
    let from = state.compared_with(target).filter(|_| target.content().exists());
    let diff = from.map(|from| {
        let from = Closure::on_host(remote, from.as_str())?;
        Ok(Diff::new(&from, &Closure::here(&cx.launcher, target.content())?))
    });
    let known = |diff: Result<Diff>| diff.inspect_err(|error| cx.warn(format!("{error:#}"))).ok();
    Behind::Other(diff.and_then(known))
}

impl Seen {
    fn runs(&self) -> String {
        match &self.behind {
            Behind::Current => "what the flake says".into(),
            Behind::Other(Some(diff)) => format!("behind: {}", diff.summary()),
            Behind::Other(None) => "something else".into(),
        }
    }

    fn booted(&self) -> &'static str {
        match &self.state {
            State { reboot_needed: true, .. } => "reboot pending",
            State { booted, current, .. } if booted == current => "what it runs",
            State { booted: None, .. } => "-",
            _ => "an earlier system",
        }
    }

    fn units(&self) -> String {
        match self.state.failed_units.as_deref() {
            None => "not known".into(),
            Some([]) => "-".into(),
            Some(_) => self.state.failed_in_words(),
        }
    }

    fn json(&self) -> Value {
        let diff = if let Behind::Other(diff) = &self.behind { diff.as_ref() } else { None };
        json!({
            "current": matches!(self.behind, Behind::Current),
            "runs": self.state.current,
            "profile": self.state.profile,
            "meant": { "system": self.target.system, "profile": self.target.path },
            "diff": diff,
            "booted": self.state.booted,
            "reboot_pending": self.state.reboot_needed,
            "failed_units": self.state.failed_units,
            "free_bytes": self.disks.free,
            "read_only": self.disks.read_only,
        })
    }
}

impl Status {
    pub fn json(&self) -> Value {
        let mut value = match &self.seen {
            Ok(seen) => seen.json(),
            Err(error) => json!({ "error": format!("{error:#}"), "exit_code": kind(error).code() }),
        };
        value["host"] = self.host.clone().into();
        value["reachable"] = json!(self.reachable());
        value["history"] = json!(self.history.words);
        value
    }

    /// Whether the host, or the sshd that keeps us out, answers; `None` where it was not asked.
    fn reachable(&self) -> Option<bool> {
        match self.seen.as_ref().map_err(kind) {
            Ok(_) | Err(ExitKind::HostKey | ExitKind::Permission | ExitKind::Undecided) => Some(true),
            Err(ExitKind::Unreachable) => Some(false),
            Err(_) => None,
        }
    }

    /// What is worth a line of its own.
    pub fn remarks(&self) -> Vec<String> {
        let host = &self.host;
        match &self.seen {
            Err(error) => vec![format!("{error:#}")],
            Ok(seen) => {
                let devices = seen.disks.read_only.iter();
                devices
                    .map(|device| format!("{host} has {device} read-only: the kernel met errors on it"))
                    .collect()
            }
        }
    }

    fn cells(&self) -> [String; 6] {
        let last = self.history.last.clone().unwrap_or_else(|| "-".into());
        match &self.seen {
            Ok(seen) => {
                let free = seen.disks.free.map_or_else(|| "-".into(), |bytes| Bytes(bytes).to_string());
                [self.host.clone(), seen.runs(), seen.booted().into(), seen.units(), free, last]
            }
            Err(error) => {
                let [unknown, units, free] = ["-", "-", "-"].map(str::to_owned);
                let why = kind(error).host_label().unwrap_or("not known");
                [self.host.clone(), why.into(), unknown, units, free, last]
            }
        }
    }
}

/// A row for each host.
pub fn status_table(statuses: &[Status]) -> Table {
    let mut table = Table::new(&["HOST", "RUNS", "BOOTED", "FAILED UNITS", "FREE", "LAST"]);
    for status in statuses {
        table.row(status.cells());
    }
    table
}

/// The error for hosts of which nothing is known; `None` where there is none.
pub fn unseen(statuses: &[Status]) -> Option<anyhow::Error> {
    let errors = statuses.iter().filter_map(|status| Some((&status.host, status.seen.as_ref().err()?)));
    let errors = errors.collect::<Vec<_>>();
    let worst = errors.iter().map(|(_, error)| kind(error)).max_by_key(|kind| kind.severity())?;
    let names = errors.iter().map(|(host, _)| host.as_str()).collect::<Vec<_>>().join(", ");
    Some(worst.error(format!("{} of {} hosts could not be asked: {names}", errors.len(), statuses.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers() {
        for (failure, expected) in [
            (ExitKind::Unreachable, json!(false)),
            (ExitKind::HostKey, json!(true)),
            (ExitKind::Permission, json!(true)),
            (ExitKind::Undecided, json!(true)),
            (ExitKind::Other, json!(null)),
            (ExitKind::Usage, json!(null)),
            (ExitKind::Refused, json!(null)),
        ] {
            let status =
                Status { host: "stinky".into(), seen: Err(failure.error("no")), history: History::default() };
            let expected = json!({
                "host": "stinky", "reachable": expected, "error": "no", "exit_code": failure.code(), "history": [],
            });
            assert_eq!(status.json(), expected);
        }
    }
}
