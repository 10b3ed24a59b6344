//! Deploying to several hosts in parallel. A host that fails does not stop the others.

use std::collections::BTreeSet;

use anyhow::Result;

use super::build::build;
use super::gather::{FoundTarget, find_target, gather, lock_host};
use super::host;
use super::host_conflicts;
use super::host_lock::HostLock;
use super::options::DeployOptions;
use super::outcome::Outcome;
use super::plan::Plan;
use crate::base::failure::{ExitKind, kind};
use crate::base::parallel;
use crate::base::{Cell, Context, Event, HostName, Table, Tone};
use crate::nix;
use crate::nix::flake::Catalogue;

/// How many hosts are deployed to in parallel.
const MAX_DEPLOYS: usize = 16;

/// How a deploy ended.
pub enum Ending {
    /// The plan was shown, as the user asked.
    Planned(Box<Plan>),
    Ended(Box<Outcome>),
}

/// One of several hosts, and how its deploy ended.
pub struct Member {
    pub host: HostName,
    pub result: Result<Ending>,
}

/// The names of all hosts of the flake that have a deploy node.
///
/// # Errors
/// `Usage` if the flake has no deploy nodes; that of the evaluation if its output `deploy` does not evaluate.
pub fn deployable_hosts(cx: &Context, nix_args: &[String]) -> Result<Vec<HostName>> {
    let catalogue = cx.in_phase("evaluate", || Catalogue::read(&cx.launcher, &cx.flake, nix_args))?;
    let names = catalogue.hosts().filter(|host| host.deploy_node).map(|host| host.name.clone());
    let names = names.collect::<Vec<_>>();
    let broken_nodes = catalogue.broken.into_iter().find(|output| output.path[0] == "deploy");
    match broken_nodes {
        Some(broken) => Err(broken.error),
        None if names.is_empty() => Err(crate::failure!(
            Usage, "{} has no deploy nodes", cx.flake;
            hint: "name a host and its address, as in `HOST --to [USER@]ADDRESS`, or add `deploy.nodes.HOST` \
                   to the flake"
        )),
        None => Ok(names),
    }
}

/// `hosts` without duplicates, in the order of their first occurrence.
pub fn deduplicate(hosts: &[HostName]) -> Vec<HostName> {
    let mut seen = BTreeSet::new();
    hosts.iter().filter(|host| seen.insert(*host)).cloned().collect()
}

/// Plans the deploys of all `hosts`, builds what they need in one run of Nix, and runs `finish` for each plan in
/// parallel. Reports the error of each host: one of its plan or its build after the build, one of `finish` at once.
///
/// # Errors
/// Those of [`host_conflicts::check`]; nothing was built then.
pub fn deploy_all(
    cx: &Context,
    options: &DeployOptions,
    version: nix::Version,
    hosts: Vec<HostName>,
    finish: impl Fn(&Context, Plan) -> Result<Ending> + Sync,
) -> Result<Vec<Member>> {
    let found = parallel::map(parallel::max_evaluations(), &hosts, |host| {
        let host_cx = cx.for_host(host);
        end_phase(&host_cx, find_target(&host_cx, options, host))
    });
    host_conflicts::check(options.goal, &found)?;
    let locked = lock_hosts(cx, options, found);
    let plans = parallel::map(MAX_DEPLOYS, hosts.iter().zip(locked), |(host, locked)| {
        let host_cx = cx.for_host(host);
        let plan = locked.and_then(|(found, lock)| gather(&host_cx, options, version, found, lock));
        end_phase(&host_cx, plan)
    });
    let plans = build_plans(cx, options, host_conflicts::refuse_same_machine(plans));
    let members = hosts.into_iter().zip(plans).collect::<Vec<_>>();
    Ok(parallel::map(MAX_DEPLOYS, members, |(host, plan)| {
        let host_cx = cx.for_host(&host);
        let result = end_phase(&host_cx, plan.and_then(|plan| finish(&host_cx, plan)));
        if let Err(error) = &result {
            host_cx.reporter.report(&Event::warning_of(error));
        }
        Member { host, result }
    }))
}

/// Locks the hosts that were found, one after the other in the order of their names, so that two runs with several
/// hosts in common cannot deadlock. The result has the order of `found`.
fn lock_hosts(
    cx: &Context,
    options: &DeployOptions,
    found: Vec<Result<FoundTarget>>,
) -> Vec<Result<(FoundTarget, Option<HostLock>)>> {
    let mut by_name = found.into_iter().enumerate().collect::<Vec<_>>();
    by_name.sort_by_key(|(_, found)| found.as_ref().ok().map(|found| found.target.host.clone()));
    let mut locked = Vec::new();
    for (position, found) in by_name {
        let result = found.and_then(|found| {
            let lock = lock_host(cx, options, &found.target.host)?;
            Ok((found, lock))
        });
        locked.push((position, result));
    }
    locked.sort_unstable_by_key(|(position, _)| *position);
    locked.into_iter().map(|(_, result)| result).collect()
}

/// Ends the progress line of the host, whose work has ended with `result`, and returns `result`.
fn end_phase<T>(host_cx: &Context, result: T) -> T {
    host_cx.reporter.report(&Event::PhaseEnded);
    result
}

/// Builds the profiles of all good `plans`, and replaces each plan whose build failed by the error.
fn build_plans(cx: &Context, options: &DeployOptions, mut plans: Vec<Result<Plan>>) -> Vec<Result<Plan>> {
    let mut good = plans.iter_mut().filter_map(|plan| plan.as_mut().ok()).collect::<Vec<_>>();
    // One item for each good plan, in their order; `None` is a success.
    let mut errors = build(cx, options, &mut good).into_iter();
    let with_build_error = |plan: Result<Plan>| {
        let plan = plan?;
        match errors.next().flatten() {
            Some(error) => Err(error),
            None => Ok(plan),
        }
    };
    plans.into_iter().map(with_build_error).collect()
}

impl Member {
    /// The exit kind of a failure; `None` for a success.
    pub fn failure(&self) -> Option<ExitKind> {
        match &self.result {
            Ok(Ending::Planned(_)) => None,
            Ok(Ending::Ended(outcome)) => outcome.verdict.failure(),
            Err(error) => Some(kind(error)),
        }
    }

    fn cells(&self) -> [Cell; 4] {
        let seconds = |total: f64| Cell::from(format!("{total:.1} s"));
        let (verdict, runs, time) = match &self.result {
            Ok(Ending::Planned(plan)) => {
                ("planned".into(), Cell::from(plan.summary()), seconds(plan.timings.total()))
            }
            Ok(Ending::Ended(outcome)) => {
                let runs = Cell::from(outcome.running_text());
                (
                    Cell::new(outcome.verdict_words(), outcome.tone()),
                    runs,
                    seconds(outcome.plan.timings.total()),
                )
            }
            Err(error) => {
                let label = host::failure_label(error).unwrap_or("failed");
                (Cell::new(label, Tone::Bad), "-".into(), "-".into())
            }
        };
        [self.host.to_string().into(), verdict, runs, time]
    }
}

/// A table with a row for each host.
pub fn verdict_table(members: &[Member]) -> Table {
    let mut table = Table::new(&["HOST", "VERDICT", "RUNS", "TIME"]).with_optional(&["TIME"]);
    for member in members {
        table.row(member.cells());
    }
    table
}

/// One error with the most severe kind of all hosts, which names all that failed; `None` if none did.
pub fn worst_failure(members: &[Member]) -> Option<anyhow::Error> {
    let failed = members.iter().filter(|member| member.failure().is_some()).collect::<Vec<_>>();
    let kind = failed.iter().filter_map(|member| member.failure()).max_by_key(|kind| kind.severity())?;
    let names = failed.iter().map(|member| member.host.as_str()).collect::<Vec<_>>().join(", ");
    let noun = if members.len() == 1 { "host" } else { "hosts" };
    Some(kind.error(format!("{} of {} {noun} failed: {names}", failed.len(), members.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(host: &str, kind: ExitKind) -> Member {
        Member { host: host.into(), result: Err(kind.error("no")) }
    }

    #[test]
    fn the_most_severe_failure_decides() {
        for (kinds, expected) in [
            (vec![ExitKind::Degraded, ExitKind::RolledBack], ExitKind::RolledBack),
            (vec![ExitKind::RolledBack, ExitKind::Unreachable, ExitKind::Other], ExitKind::Unreachable),
            (vec![ExitKind::Undecided, ExitKind::Interrupted], ExitKind::Interrupted),
        ] {
            let members = kinds.iter().map(|kind| member("a", *kind)).collect::<Vec<_>>();
            assert_eq!(kind(&worst_failure(&members).unwrap()), expected, "{kinds:?}");
        }
        assert!(worst_failure(&[]).is_none());
    }

    #[test]
    fn the_hosts_that_failed_are_named_and_listed() {
        let members = [
            member("a", ExitKind::Unreachable),
            member("b", ExitKind::HostKey),
            member("c", ExitKind::Other),
        ];
        assert_eq!(worst_failure(&members).unwrap().to_string(), "3 of 3 hosts failed: a, b, c");
        assert_eq!(worst_failure(&members[..1]).unwrap().to_string(), "1 of 1 host failed: a");
        let expected = "HOST  VERDICT           RUNS  TIME\na     unreachable       -     -\n\
                        b     host key refused  -     -\nc     failed            -     -";
        assert_eq!(verdict_table(&members).to_string(), expected);
    }
}
