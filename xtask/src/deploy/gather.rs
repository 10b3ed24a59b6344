//! From a name to a plan: nothing is changed on the host.

use anyhow::Result;

use super::closure::{Closure, Diff};
use super::desired::{Nodes, Overrides, Trust};
use super::host::{self, Activity, LIST, Question, Remote, SshMux, State};
use super::host_lock::HostLock;
use super::options::{Afterwards, DeployOptions, Goal};
use super::plan::Plan;
use super::target::Target;
use super::timings::Timings;
use crate::base::failure::{self, ExitKind, kind};
use crate::base::{Context, percent_encoding, project, shell};
use crate::nix;
use crate::nix::{EvalCache, emulation, flake};

/// The turn at `host`, which a plan that is only shown does not need.
pub fn take_turn(cx: &Context, order: &DeployOptions, host: &str) -> Result<Option<HostLock>> {
    (order.goal != Goal::Show).then(|| HostLock::take(host, cx.reporter.as_ref())).transpose()
}

/// What a host is meant to run, and how long it took to find out.
pub struct Found {
    pub target: Target,
    timings: Timings,
}

/// Finds out what `host` is meant to run.
///
/// # Errors
/// Of `Usage` where the flake has no such host; refused where it could not be proved afterwards.
pub fn find(cx: &Context, order: &DeployOptions, host: &str) -> Result<Found> {
    let mut timings = Timings::default();
    let target = timings.time("evaluate", || evaluate(cx, &order.overrides, order.nix_args(), host))?;
    Ok(Found { target, timings })
}

/// Finds out what a host runs, in its turn.
///
/// # Errors
/// Refused where it can be told already that the deploy would not do; `Unreachable` and `HostKey`.
pub fn gather(
    cx: &Context,
    order: &DeployOptions,
    version: nix::Version,
    found: Found,
    turn: Option<HostLock>,
) -> Result<Plan> {
    let Found { target, mut timings } = found;
    can_build(cx, version, &target)?;
    warn_of_other_profiles(cx, &target);
    // The first question goes without it: whatever keeps ssh from connecting is told by an ssh that may ask the user.
    let line = if order.goal == Goal::Show { None } else { line(cx, &target) };
    let (before, closure) = timings.time("look", || look(cx, order, &target))?;
    check(order, Plan { target, goal: order.goal, before, closure, diff: None, timings, line, turn })
}

/// The line over which the host is asked until it is changed.
fn line(cx: &Context, target: &Target) -> Option<SshMux> {
    let name = percent_encoding::encode(target.host.as_bytes(), b"");
    SshMux::open(&cx.launcher, &target.connection, project::state_dir().join("ssh").join(name))
}

/// What `host` is meant to run. `options` are for Nix.
pub fn evaluate(cx: &Context, overrides: &Overrides, options: &[String], host: &str) -> Result<Target> {
    let answers = EvalCache::new(&project::state_dir());
    let nodes = Nodes::load(&cx.launcher, &answers, &cx.flake, host, options)?;
    let names = nodes.names.clone();
    let trust = Trust::find(&cx.flake, cx.trust_flake);
    nodes.target(&cx.launcher, host, overrides, &trust)?.ok_or_else(|| unknown(cx, host, &names))
}

/// The error for a host that the flake does not have. `--wait 5` makes one of the minutes.
fn unknown(cx: &Context, host: &str, names: &[String]) -> anyhow::Error {
    let error = flake::no_node(&cx.flake, host, names);
    match host.parse::<u64>() {
        Ok(minutes) => {
            crate::failure!(Usage, "{error}"; hint: "write the minutes to wait as `--wait={minutes}`")
        }
        Err(_) => error,
    }
}

/// Refuses before anything is built where this machine cannot build the profile.
fn can_build(cx: &Context, version: nix::Version, target: &Target) -> Result<()> {
    match &target.platform {
        Some(system) if target.builds_here && !target.path.exists() => {
            emulation::require(cx, version, system)
        }
        _ => Ok(()),
    }
}

fn warn_of_other_profiles(cx: &Context, target: &Target) {
    if !target.other_profiles.is_empty() {
        let names = target.other_profiles.join(", ");
        cx.warn(format!("only the profile 'system' of {} is deployed and proved, not: {names}", target.host));
    }
}

/// Reads what the host runs now, with its closure where that is going to change; a host that is waited for may be off
/// yet.
fn look(cx: &Context, order: &DeployOptions, target: &Target) -> Result<(State, Option<Closure>)> {
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let (from, link) = (target.compared_link(), shell::quote(&target.link));
    let spared =
        format!("readlink -f {link} | grep -qxF {} || test ! -e {}", target.path, shell::quote(from));
    let ask = || {
        let mut question = Question::new()?;
        Closure::ask(&mut question, &spared, from);
        host::ask(&mut question, target);
        let answer = remote.ask(&question, LIST)?;
        Ok((State::read(&answer), Closure::parse(&answer)))
    };
    match order.wait {
        Some(limit) => host::until_answered(target, limit, cx.reporter.as_ref(), ask),
        None => ask(),
    }
}

/// Refuses where the host cannot be deployed to now. What already is as it should be takes no rights.
fn check(order: &DeployOptions, plan: Plan) -> Result<Plan> {
    let (target, state) = (&plan.target, &plan.before);
    let nothing_to_do = plan.already_done().is_some() && order.afterwards == Afterwards::Stay;
    match if nothing_to_do { busy(target, state) } else { obstacle(target, state) } {
        Some(why) => Err(ExitKind::Refused.error(why)),
        None => Ok(plan),
    }
}

/// What keeps a host that answers from being deployed to.
pub fn obstacle(target: &Target, state: &State) -> Option<String> {
    busy(target, state).or_else(|| lacks_rights(target, state))
}

fn busy(Target { host, .. }: &Target, state: &State) -> Option<String> {
    let text = || format!("an activation is running on {host}: another deploy is at work; wait for it");
    (state.activity == Activity::Running).then(text)
}

fn lacks_rights(target: &Target, state: &State) -> Option<String> {
    let host = &target.host;
    let asks = state.sudo == Some(false) && !target.interactive_sudo;
    asks.then(|| {
        let user = target.connection.destination.split('@').next().unwrap_or_default();
        format!(
            "{user} needs a password for sudo on {host}: set `security.sudo.wheelNeedsPassword = false` there, or \
             let deploy-rs ask for it: `-- --interactive-sudo true`"
        )
    })
}

/// Builds the profiles that are not here yet, all in one run, and says for which plans that did not do. What the
/// host builds itself is left to deploy-rs.
pub fn build(cx: &Context, order: &DeployOptions, plans: &mut [&mut Plan]) -> Vec<Option<anyhow::Error>> {
    let due = |plan: &&mut Plan| {
        plan.target.builds_here && plan.already_done().is_none() && !is_here(cx, &plan.target)
    };
    let wanted = plans.iter().filter(|plan| due(plan)).map(|plan| plan.target.installable(&cx.flake));
    let wanted = wanted.collect::<Vec<_>>();
    if wanted.is_empty() {
        return plans.iter().map(|_| None).collect();
    }
    let mut timings = Timings::default();
    let built = timings
        .time("build", || nix::build_all(&cx.launcher, &wanted, order.nix_args(), cx.reporter.as_ref()));
    for plan in plans.iter_mut() {
        plan.timings.0.extend(timings.0.iter().cloned());
    }
    let Err(error) = built else { return plans.iter().map(|_| None).collect() };
    let lacks =
        |plan: &&mut Plan| wanted.contains(&plan.target.installable(&cx.flake)) && !plan.target.path.exists();
    plans.iter().map(|plan| lacks(plan).then(|| failure::copy(&error))).collect()
}

/// Whether the profile is in the store of this machine, whole.
fn is_here(cx: &Context, target: &Target) -> bool {
    target.path.exists() && nix::closure(&cx.launcher, &target.path).is_ok()
}

/// Finds out what the plan changes. That this fails is no reason not to deploy: it is a warning.
///
/// # Errors
/// `Interrupted` where the user stops it.
pub fn compare(cx: &Context, plan: &mut Plan) -> Result<()> {
    let remote = Remote::new(&cx.launcher, &plan.target.host, &plan.target.connection);
    let remote = remote.over(plan.line.as_ref());
    let Some(from) = plan.before.compared_with(&plan.target) else { return Ok(()) };
    let to = plan.target.content();
    if !to.exists() {
        return Ok(());
    }
    let mut timings = Timings::default();
    let read = timings.time("compare", || {
        let known = plan.closure.take().filter(|closure| closure.has(from));
        Ok((
            known.map_or_else(|| Closure::on_host(&remote, from.as_str()), Ok)?,
            Closure::here(&cx.launcher, to)?,
        ))
    });
    match read {
        Ok((from, to)) => plan.diff = Some(Diff::new(&from, &to)),
        Err(error) if kind(&error) == ExitKind::Interrupted => return Err(error),
        Err(error) => {
            cx.warn(format!("what changes on {} is not known: {error:#}", plan.target.host));
        }
    }
    plan.timings.0.extend(timings.0);
    Ok(())
}
