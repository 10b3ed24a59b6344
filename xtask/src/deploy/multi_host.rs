//! Several hosts at once: each goes its own way, and one that fails does not stop the others.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Value, json};

use super::gather::{Found, build, find, gather, take_turn};
use super::host_conflicts;
use super::host_lock::HostLock;
use super::options::DeployOptions;
use super::outcome::Outcome;
use super::plan::Plan;
use crate::base::failure::{ExitKind, kind};
use crate::base::parallel;
use crate::base::{Context, Event, Table};
use crate::nix;
use crate::nix::flake::Catalogue;

/// How many evaluations run at once: each takes a core, and a good part of a GiB.
const EVALUATIONS: usize = 4;
/// How many hosts are deployed to at once.
const DEPLOYS: usize = 16;

/// How far a deploy came.
pub enum Ending {
    /// The plan was shown, as was asked for.
    Planned(Box<Plan>),
    Ended(Box<Outcome>),
}

/// One of several hosts, and how far it came.
pub struct Member {
    pub host: String,
    pub result: Result<Ending>,
}

/// The names of all hosts that the flake can deploy.
pub fn deployable(cx: &Context) -> Result<Vec<String>> {
    let catalogue = cx.in_phase("evaluate", || Catalogue::names(&cx.launcher, &cx.flake))?;
    let names = catalogue.hosts().filter(|host| host.deploy_node).map(|host| host.name.clone());
    let names = names.collect::<Vec<_>>();
    match catalogue.nodes_error {
        Some(error) => Err(error),
        None if names.is_empty() => Err(ExitKind::Usage.error(format!("{} has no deploy nodes", cx.flake))),
        None => Ok(names),
    }
}

/// The hosts that were named, each where it was named first.
pub fn each_once(hosts: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    hosts.iter().filter(|host| seen.insert(*host)).cloned().collect()
}

/// Takes all `hosts` to their plans, builds what they need in one run, and does `finish` with each of them, side by
/// side. What fails for a host is said at once.
///
/// # Errors
/// Where the hosts do not go together: see [`host_conflicts::check`]. Nothing was built then.
pub fn together(
    cx: &Context,
    order: &DeployOptions,
    version: nix::Version,
    hosts: Vec<String>,
    finish: impl Fn(&Context, Plan) -> Result<Ending> + Sync,
) -> Result<Vec<Member>> {
    let found = parallel::map(EVALUATIONS, &hosts, |host| {
        let own = cx.for_host(host);
        over(&own, find(&own, order, host))
    });
    host_conflicts::check(order.goal, &found)?;
    let turns = take_turns(cx, order, found);
    let plans = parallel::map(EVALUATIONS, hosts.iter().zip(turns), |(host, turn)| {
        let own = cx.for_host(host);
        over(&own, turn.and_then(|(found, turn)| gather(&own, order, version, found, turn)))
    });
    let plans = built(cx, order, host_conflicts::keep_apart(plans));
    let members = hosts.into_iter().zip(plans).collect::<Vec<_>>();
    Ok(parallel::map(DEPLOYS, members, |(host, plan)| {
        let own = cx.for_host(&host);
        let result = over(&own, plan.and_then(|plan| finish(&own, plan)));
        if let Err(error) = &result {
            own.warn(format!("{error:#}"));
        }
        Member { host, result }
    }))
}

/// The turns at the hosts that were found. They are taken by name, one after the other: of two runs with several hosts
/// in common, none can wait for the other while that waits for it.
fn take_turns(
    cx: &Context,
    order: &DeployOptions,
    found: Vec<Result<Found>>,
) -> Vec<Result<(Found, Option<HostLock>)>> {
    let mut due = found.into_iter().enumerate().collect::<Vec<_>>();
    let name = |found: &Result<Found>| found.as_ref().ok().map(|found| found.target.host.clone());
    due.sort_by_key(|(_, found)| name(found));
    let take = |found: Found| take_turn(cx, order, &found.target.host).map(|turn| (found, turn));
    let mut taken = due.into_iter().map(|(at, found)| (at, found.and_then(take))).collect::<Vec<_>>();
    taken.sort_unstable_by_key(|(at, _)| *at);
    taken.into_iter().map(|(_, taken)| taken).collect()
}

/// The line of the host ends where its work does.
fn over<T>(own: &Context, result: T) -> T {
    own.reporter.report(&Event::PhaseEnded);
    result
}

fn built(cx: &Context, order: &DeployOptions, mut plans: Vec<Result<Plan>>) -> Vec<Result<Plan>> {
    let mut good = plans.iter_mut().filter_map(|plan| plan.as_mut().ok()).collect::<Vec<_>>();
    let mut errors = build(cx, order, &mut good).into_iter();
    let fate = |plan: Result<Plan>| match plan {
        Ok(plan) => errors.next().flatten().map_or(Ok(plan), Err),
        failed => failed,
    };
    plans.into_iter().map(fate).collect()
}

impl Member {
    /// The kind of failure; `None` where all is well.
    pub fn failure(&self) -> Option<ExitKind> {
        match &self.result {
            Ok(Ending::Planned(_)) => None,
            Ok(Ending::Ended(outcome)) => outcome.verdict.failure(),
            Err(error) => Some(kind(error)),
        }
    }

    pub fn json(&self) -> Value {
        match &self.result {
            Ok(Ending::Planned(plan)) => plan.json(),
            Ok(Ending::Ended(outcome)) => outcome.json(),
            Err(error) => json!({
                "host": self.host, "verdict": null, "exit_code": kind(error).code(), "error": format!("{error:#}"),
            }),
        }
    }

    fn cells(&self) -> [String; 4] {
        let seconds = |seconds: f64| format!("{seconds:.1} s");
        let (verdict, runs, time) = match &self.result {
            Ok(Ending::Planned(plan)) => ("planned".into(), plan.summary(), seconds(plan.timings.total())),
            Ok(Ending::Ended(outcome)) => {
                (outcome.words(), outcome.runs().to_owned(), seconds(outcome.plan.timings.total()))
            }
            Err(error) => (kind(error).host_label().unwrap_or("failed").into(), "-".into(), "-".into()),
        };
        [self.host.clone(), verdict, runs, time]
    }
}

/// A row for each host.
pub fn table(members: &[Member]) -> Table {
    let mut table = Table::new(&["HOST", "VERDICT", "RUNS", "TIME"]);
    for member in members {
        table.row(member.cells());
    }
    table
}

/// The error of the worst of several hosts, which names all that failed; `None` where none did.
pub fn worst(members: &[Member]) -> Option<anyhow::Error> {
    let failed = members.iter().filter(|member| member.failure().is_some()).collect::<Vec<_>>();
    let kind = failed.iter().filter_map(|member| member.failure()).max_by_key(|kind| kind.severity())?;
    let names = failed.iter().map(|member| member.host.as_str()).collect::<Vec<_>>().join(", ");
    Some(kind.error(format!(
        "{} of {} hosts are not as they are meant to be: {names}",
        failed.len(),
        members.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several() {
        let member = |host: &str, kind: ExitKind| Member { host: host.into(), result: Err(kind.error("no")) };
        for (kinds, expected) in [
            (vec![ExitKind::Degraded, ExitKind::RolledBack], ExitKind::RolledBack),
            (vec![ExitKind::RolledBack, ExitKind::Unreachable, ExitKind::Other], ExitKind::Unreachable),
            (vec![ExitKind::Undecided, ExitKind::Interrupted], ExitKind::Interrupted),
        ] {
            let members = kinds.iter().map(|kind| member("a", *kind)).collect::<Vec<_>>();
            assert_eq!(kind(&worst(&members).unwrap()), expected, "{kinds:?}");
        }
        assert!(worst(&[]).is_none());
        let members = [
            member("a", ExitKind::Unreachable),
            member("b", ExitKind::HostKey),
            member("c", ExitKind::Other),
        ];
        let text = "3 of 3 hosts are not as they are meant to be: a, b, c";
        assert_eq!(worst(&members).unwrap().to_string(), text);
        let expected = "HOST  VERDICT           RUNS  TIME\na     unreachable       -     -\n\
                        b     another host key  -     -\nc     failed            -     -";
        assert_eq!(table(&members).to_string(), expected);
    }
}
