//! Deploying to several hosts in parallel. A host that fails does not stop the others.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::build::build;
use super::find_target::{FoundTarget, find_targets};
use super::gather::{gather, lock_host, require_build_support, system_to_build};
use super::host_conflicts::{self, Machines};
use super::host_lock::HostLock;
use super::options::DeployOptions;
use super::outcome::Outcome;
use super::plan::Plan;
use super::summary;
use super::waves::Failures;
use crate::base::failure::{ExitKind, copy, kind};
use crate::base::interrupt::{self, SignalGuard};
use crate::base::parallel;
use crate::base::{Context, Event, HostName};
use crate::nix;
use crate::nix::flake::Catalogue;

/// How many hosts are deployed to in parallel.
const MAX_DEPLOYS: usize = 16;

/// How many hosts are asked for their state in parallel: some of many are off, and each of these only waits.
pub const MAX_QUERIES: usize = 32;

/// How a deploy ended.
pub enum Ending {
    /// The deploy was not begun.
    NotReached(Unreached),
    /// The plan was shown, as the user asked.
    Planned(Box<Plan>),
    Ended(Box<Outcome>),
}

/// Why a deploy was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// Too many other hosts failed before.
    TooManyFailed,
    /// The user stopped the run.
    Stopped,
}

/// One of several hosts, and how its deploy ended.
pub struct Member {
    pub host: HostName,
    pub result: Result<Ending>,
}

/// The names of all hosts of the flake that have a deploy node, for a command that has the option `--to`, or not.
///
/// # Errors
/// `Usage` if the flake has no deploy nodes; that of the evaluation if its output `deploy` does not evaluate.
pub fn deployable_hosts(cx: &Context, nix_args: &[String], has_to: bool) -> Result<Vec<HostName>> {
    let catalogue = cx.in_phase("evaluate", || Catalogue::read(&cx.launcher, &cx.flake, nix_args))?;
    let has_configurations = catalogue.hosts().any(|host| host.configured);
    let hint = if has_configurations && !has_to {
        "add `deploy.nodes.HOST` to the flake"
    } else if has_configurations {
        "name a host and its address, as in `HOST --to [USER@]ADDRESS`, or add `deploy.nodes.HOST` to the flake"
    } else if catalogue.hosts().next().is_some() {
        "add `deploy.nodes.HOST` or `nixosConfigurations.HOST` to the flake: it has only images"
    } else {
        "`cargo xtask new-host` adds a host"
    };
    let names = catalogue.hosts().filter(|host| host.deploy_node).map(|host| host.name.clone());
    let names = names.collect::<Vec<_>>();
    let broken_nodes = catalogue.broken.into_iter().find(|output| output.path[0] == "deploy");
    match broken_nodes {
        Some(broken) => Err(broken.error),
        None if names.is_empty() => Err(crate::failure!(
            Usage(NoNode), "{} has no deploy nodes", cx.flake;
            hint: "{hint}"
        )),
        None => Ok(names),
    }
}

/// `hosts` without duplicates, in the order of their first occurrence.
pub fn deduplicate(hosts: &[HostName]) -> Vec<HostName> {
    let mut seen = BTreeSet::new();
    hosts.iter().filter(|host| seen.insert(*host)).cloned().collect()
}

/// Deploys all `hosts` in the waves of `options`, after an evaluation of all. `finish` ends the deploy of a host whose
/// plan is built. Once too many hosts have failed, or the user has stopped the run, no other is begun.
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
    // Whenever the user stops the run, the table of the hosts shows how far it came.
    let signals = interrupt::guard()?;
    let found = find_targets(cx, options, &hosts);
    if !signals.is_stop_requested() {
        host_conflicts::check(options.is_dry_run, &found)?;
    }
    let waves = options.waves.split(hosts.into_iter().zip(found).collect());
    let machines = Machines::default();
    let failures = options.waves.failures();
    let mut run = Run { cx, options, version, machines, failures, signals };
    let count = waves.len();
    let mut members = Vec::new();
    for (number, wave) in waves.into_iter().enumerate() {
        let (hosts, found): (Vec<_>, Vec<_>) = wave.into_iter().unzip();
        if count > 1 && run.reason_to_end().is_none() {
            cx.note(wave_text(number + 1, count, &hosts));
        }
        members.extend(run.deploy_wave(hosts, found, &finish));
    }
    Ok(members)
}

/// The line that announces a wave.
fn wave_text(number: usize, count: usize, hosts: &[HostName]) -> String {
    format!("wave {number} of {count}: {}", summary::some_names(hosts.iter().map(HostName::as_str)))
}

/// One run that deploys several hosts.
struct Run<'a> {
    cx: &'a Context,
    options: &'a DeployOptions,
    version: nix::Version,
    /// The machines of the waves so far.
    machines: Machines,
    failures: Failures,
    signals: SignalGuard,
}

impl Run<'_> {
    /// Why no other host is begun; `None` while all is well.
    fn reason_to_end(&self) -> Option<Unreached> {
        let has_stopped = self.signals.is_stop_requested().then_some(Unreached::Stopped);
        has_stopped.or_else(|| self.failures.are_too_many().then_some(Unreached::TooManyFailed))
    }

    /// Plans the deploys of `hosts`, builds what they need in one run of Nix, and runs `finish` for each plan in
    /// parallel. Reports the error of each host: one of its build after the build, any other at once.
    fn deploy_wave(
        &mut self,
        hosts: Vec<HostName>,
        found: Vec<Result<FoundTarget>>,
        finish: &(impl Fn(&Context, Plan) -> Result<Ending> + Sync),
    ) -> Vec<Member> {
        if let Some(reason) = self.reason_to_end() {
            let unreached = |host| Member { host, result: Ok(Ending::NotReached(reason)) };
            return hosts.into_iter().map(unreached).collect();
        }
        let gathered = self.gather_all(&hosts, found);
        // A host that is switched off is named before the others are built.
        let are_named = gathered.iter().map(Result::is_err).collect::<Vec<_>>();
        let plans = build_plans(self.cx, self.options, self.machines.refuse_known(gathered));
        plans.iter().filter(|plan| plan.is_err()).for_each(|_| self.failures.add());
        let members = hosts.into_iter().zip(plans).zip(are_named).collect::<Vec<_>>();
        parallel::map(MAX_DEPLOYS, members, |((host, plan), is_named)| {
            let host_cx = self.cx.for_host(&host);
            let result = end_phase(&host_cx, self.deploy_host(&host, &host_cx, plan, finish));
            if let Some(error) = result.as_ref().err().filter(|_| !is_named) {
                host_cx.warn_of(error);
            }
            Member { host, result }
        })
    }

    /// Ends the deploy of `host` with `plan`, unless no other host is to be begun, and counts its failure. A host that
    /// is not reached keeps the log of its last deploy.
    fn deploy_host(
        &self,
        host: &HostName,
        host_cx: &Context,
        plan: Result<Plan>,
        finish: &(impl Fn(&Context, Plan) -> Result<Ending> + Sync),
    ) -> Result<Ending> {
        match (&plan, self.reason_to_end()) {
            (Err(error), _) if kind(error) == ExitKind::Interrupted => {
                return Ok(Ending::NotReached(Unreached::Stopped));
            }
            (Ok(_), Some(reason)) => return Ok(Ending::NotReached(reason)),
            _ if self.options.is_dry_run => {}
            _ => self.cx.log.keep_for_host(host),
        }
        let ended = finish(host_cx, plan?);
        if failure_of(&ended).is_some() {
            self.failures.add();
        }
        ended
    }

    /// Replaces each target that this machine cannot build by the error. Each system is judged once.
    fn refuse_unbuildable(&self, found: Vec<Result<FoundTarget>>) -> Vec<Result<FoundTarget>> {
        let mut errors = BTreeMap::new();
        let check = |found: Result<FoundTarget>| {
            let found = found?;
            let Some(system) = system_to_build(&found.target) else { return Ok(found) };
            let error = errors.entry(system.to_owned()).or_insert_with(|| {
                let nix_args = self.options.nix_args();
                require_build_support(self.cx, nix_args, self.version, &found.target).err()
            });
            error.as_ref().map_or(Ok(found), |error| Err(copy(error)))
        };
        found.into_iter().map(check).collect()
    }

    /// The plans of `hosts`, of which nothing is built yet. Reports the error of each at once.
    fn gather_all(&self, hosts: &[HostName], found: Vec<Result<FoundTarget>>) -> Vec<Result<Plan>> {
        let Self { cx, options, version, .. } = *self;
        let found = self.refuse_unbuildable(found);
        let locked = lock_hosts(cx, options, found);
        parallel::map(MAX_QUERIES, hosts.iter().zip(locked), |(host, locked)| {
            let host_cx = cx.for_host(host);
            let plan = locked.and_then(|(found, lock)| gather(&host_cx, options, version, found, lock));
            let error = plan.as_ref().err().filter(|error| kind(error) != ExitKind::Interrupted);
            if let Some(error) = error {
                host_cx.warn_of(error);
            }
            end_phase(&host_cx, plan)
        })
    }
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
    host_cx.reporter.report(&Event::PhaseEnded { name: None });
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
        failure_of(&self.result)
    }

    /// Whether the user stopped the deploy of the host, or the run before it.
    pub fn is_stopped(&self) -> bool {
        match &self.result {
            Ok(Ending::Ended(outcome)) => outcome.is_stopped(),
            _ => self.failure() == Some(ExitKind::Interrupted),
        }
    }
}

/// The exit kind of a deploy that has failed; `None` for any other.
fn failure_of(result: &Result<Ending>) -> Option<ExitKind> {
    match result {
        Ok(Ending::Planned(_) | Ending::NotReached(Unreached::TooManyFailed)) => None,
        Ok(Ending::NotReached(Unreached::Stopped)) => Some(ExitKind::Interrupted),
        Ok(Ending::Ended(outcome)) => outcome.verdict.failure(),
        Err(error) => Some(kind(error)),
    }
}
