//! Making the plan for a host. Nothing is changed on the host.

use anyhow::Result;

use super::closure::{Closure, Diff};
use super::copy_checks;
use super::desired::{Nodes, Overrides, Trust};
use super::host::{self, Activity, BootAnswer, CLOSURE_TIMEOUT, Query, Remote, RemoteStore, SshMux, State};
use super::host_lock::HostLock;
use super::options::{Afterwards, DeployOptions, Goal};
use super::plan::Plan;
use super::target::Target;
use super::timings::Timings;
use super::trial;
use crate::bail;
use crate::base::failure::{self, ExitKind, kind};
use crate::base::{Context, HostName, shell};
use crate::nix;
use crate::nix::{EvalCache, emulation};

/// Locks `host`, except for a plan that is only shown.
pub fn lock_host(cx: &Context, options: &DeployOptions, host: &HostName) -> Result<Option<HostLock>> {
    (options.goal != Goal::Show).then(|| HostLock::take(cx, host)).transpose()
}

/// The target of a deploy, and how long its evaluation took.
pub struct FoundTarget {
    pub target: Target,
    timings: Timings,
}

/// Evaluates what `host` is to run.
///
/// # Errors
/// `Usage` if the flake has no such host; `Refused` if the deploy could not be verified afterwards.
pub fn find_target(cx: &Context, options: &DeployOptions, host: &HostName) -> Result<FoundTarget> {
    let mut timings = Timings::default();
    let target = timings.time("evaluate", || evaluate(cx, &options.overrides, options.nix_args(), host))?;
    Ok(FoundTarget { target, timings })
}

/// Reads what the host runs, and returns the plan.
///
/// # Errors
/// `Refused` if the deploy cannot succeed: no way to build, a running activation, no rights on the host.
/// `Unreachable` and `HostKey` as of ssh.
pub fn gather(
    cx: &Context,
    options: &DeployOptions,
    version: nix::Version,
    found: FoundTarget,
    lock: Option<HostLock>,
) -> Result<Plan> {
    let FoundTarget { target, mut timings } = found;
    require_build_support(cx, options, version, &target)?;
    warn_of_what_is_left_out(cx, &target);
    // The first query does not use the mux, so that an ssh that may ask the user reports why it cannot connect.
    let mux = if options.goal == Goal::Show { None } else { SshMux::of(cx, &target) };
    let FirstLook { before, closure, store, boot_answer } =
        timings.time("probe", || read_state(cx, options, &target))?;
    let DeployOptions { goal, afterwards, .. } = *options;
    let missing = Vec::new();
    let plan = Plan {
        target,
        goal,
        afterwards,
        before,
        closure,
        diff: None,
        store,
        missing,
        boot_answer,
        boot: None,
        timings,
        mux,
        lock,
    };
    check(cx, options, version, plan)
}

/// Evaluates what `host` is to run, with `options` for Nix.
pub fn evaluate(cx: &Context, overrides: &Overrides, options: &[String], host: &HostName) -> Result<Target> {
    let cache = EvalCache::new(&cx.state);
    let is_addressed = overrides.hostname.is_some();
    let reporter = cx.reporter.as_ref();
    let nodes = Nodes::load(&cx.launcher, &cache, &cx.flake, host, is_addressed, options, reporter)?;
    let trust = Trust::find(&cx.flake, cx.trust_flake);
    let missing = nodes.missing_error(&cx.flake, host);
    nodes.target(cx, host, overrides, &trust)?.ok_or_else(|| with_wait_hint(missing, host))
}

/// Adds a hint to the `error` for an unknown `host` that is a number: the parser takes the 5 of `--wait 5` for a host.
fn with_wait_hint(error: anyhow::Error, host: &HostName) -> anyhow::Error {
    match host.parse::<u64>() {
        Ok(minutes) => {
            crate::failure!(Usage, "{error}"; hint: "write the minutes to wait as `--wait={minutes}`")
        }
        Err(_) => error,
    }
}

/// Refuses, before anything is built, if this machine cannot build the profile.
fn require_build_support(
    cx: &Context,
    options: &DeployOptions,
    version: nix::Version,
    target: &Target,
) -> Result<()> {
    match &target.platform {
        Some(system) if target.builds_here && !target.path.exists() => {
            emulation::require(cx, version, system, options.nix_args())
        }
        _ => Ok(()),
    }
}

fn warn_of_what_is_left_out(cx: &Context, target: &Target) {
    if !target.uncopied_keys.is_empty() {
        let names = target.uncopied_keys.join(", ");
        cx.warn(format!(
            "`deployment.keys` of {} are not copied to {}: {names}",
            target.system_name(),
            target.host
        ));
    }
    if !target.other_profiles.is_empty() {
        let names = target.other_profiles.join(", ");
        cx.warn(format!(
            "only the profile 'system' of {} is deployed and verified, not: {names}",
            target.host
        ));
    }
}

/// What is read of the host at first.
struct FirstLook {
    before: State,
    /// The closure of its system, if that is going to change.
    closure: Option<Closure>,
    store: RemoteStore,
    /// What decides whether the host boots another system, if it is going to.
    boot_answer: BootAnswer,
}

/// Reads the state of the host, its Nix, and the closure of its system if that is going to change. With `--wait`, waits
/// for a host that does not answer yet.
fn read_state(cx: &Context, options: &DeployOptions, target: &Target) -> Result<FirstLook> {
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let from = target.running_link();
    let link = shell::quote(&target.link);
    let skip_if =
        format!("readlink -f {link} | grep -qxF {} || test ! -e {}", target.path, shell::quote(from));
    let reboots = options.afterwards == Afterwards::Reboot;
    let probe = || {
        let mut query = Query::new("the query of the state and the closure")?;
        Closure::add_queries(&mut query, &skip_if, from);
        host::add_queries(&mut query, target);
        RemoteStore::add_queries(&mut query, target);
        BootAnswer::add_queries(&mut query, if reboots { "false" } else { &skip_if }, target);
        let answer = remote.query(&query, CLOSURE_TIMEOUT)?;
        Ok(FirstLook {
            before: State::read(&answer),
            closure: Closure::parse(&answer),
            store: RemoteStore::read(&answer),
            boot_answer: BootAnswer::read(&answer),
        })
    };
    match options.wait {
        Some(limit) => host::wait_until_reachable(target, limit, cx.reporter.as_ref(), probe),
        None => probe(),
    }
}

/// Refuses a host that cannot be deployed to now. A host that is current needs no sudo.
fn check(cx: &Context, options: &DeployOptions, version: nix::Version, plan: Plan) -> Result<Plan> {
    let is_current = plan.already_done().is_some();
    if is_current && options.afterwards == Afterwards::Stay {
        check_idle(&plan.target, &plan.before)?;
    } else {
        check_deployable(&plan.target, &plan.before)?;
    }
    trial::check_can_try(cx, options, &plan)?;
    if !is_current {
        host::deploy_rs_ssh_opts(&plan.target.host, &plan.target.connection)?;
        copy_checks::check_before_build(cx, version, &plan)?;
    }
    Ok(plan)
}

/// Refuses a host on which another activation runs, or on which sudo asks for a password that nobody can enter.
pub fn check_deployable(target: &Target, state: &State) -> Result<()> {
    check_idle(target, state)?;
    check_sudo(target, state)
}

fn check_idle(target: &Target, state: &State) -> Result<()> {
    trial::check_not_on_trial(target, state)?;
    if state.activity == Activity::Running {
        bail!(
            Refused, "an activation is running on {}", target.host;
            hint: "wait until the other deploy has finished"
        );
    }
    Ok(())
}

fn check_sudo(target: &Target, state: &State) -> Result<()> {
    if state.sudo == Some(false) && !target.interactive_sudo {
        let user = target.connection.destination.split('@').next().unwrap_or_default();
        bail!(
            Refused, "{user} needs a password for sudo on {}", target.host;
            hint: "set `security.sudo.wheelNeedsPassword = false` there, or let deploy-rs ask for it: \
                   `-- --interactive-sudo true`"
        );
    }
    Ok(())
}

/// Builds all profiles that are not in the store yet in one run of Nix, and returns an error for each plan whose
/// profile is still missing. deploy-rs handles profiles that the host builds.
pub fn build(cx: &Context, options: &DeployOptions, plans: &mut [&mut Plan]) -> Vec<Option<anyhow::Error>> {
    let due = |plan: &&mut Plan| {
        plan.target.builds_here && plan.already_done().is_none() && !is_built(cx, &plan.target)
    };
    // deploy-rs reports a profile that no installable can name.
    let installable = |plan: &&mut Plan| plan.target.installable(&cx.flake).ok();
    let wanted = plans.iter().filter(|plan| due(plan)).filter_map(installable);
    let wanted = wanted.collect::<Vec<_>>();
    if wanted.is_empty() {
        return plans.iter().map(|_| None).collect();
    }
    let mut timings = Timings::default();
    let built = timings
        .time("build", || nix::build_all(&cx.launcher, &wanted, options.nix_args(), cx.reporter.as_ref()));
    for plan in plans.iter_mut() {
        plan.timings.0.extend(timings.0.iter().cloned());
    }
    let Err(error) = built else { return plans.iter().map(|_| None).collect() };
    let is_missing = |plan: &&mut Plan| {
        installable(plan).is_some_and(|it| wanted.contains(&it)) && !plan.target.path.exists()
    };
    plans.iter().map(|plan| is_missing(plan).then(|| failure::copy(&error))).collect()
}

/// Whether the local store has the complete closure of the profile.
fn is_built(cx: &Context, target: &Target) -> bool {
    target.path.exists() && nix::closure(&cx.launcher, &target.path).is_ok()
}

/// Adds the diff of the closures to the plan. A failure is only a warning: the deploy does not depend on it.
///
/// # Errors
/// `Interrupted` if the user stops it.
pub fn compare(cx: &Context, plan: &mut Plan) -> Result<()> {
    let remote = Remote::new(&cx.launcher, &plan.target.host, &plan.target.connection);
    let remote = remote.with_mux(plan.mux.as_ref());
    let Some(from) = plan.before.running_path(&plan.target) else { return Ok(()) };
    let to = plan.target.desired_path();
    if !to.exists() {
        return Ok(());
    }
    let mut timings = Timings::default();
    let read = timings.time("compare", || {
        let already_read = plan.closure.take().filter(|closure| closure.contains(from));
        let old = already_read.map_or_else(|| Closure::remote(&remote, from.as_str()), Ok)?;
        Ok((old, Closure::local(&cx.launcher, to)?))
    });
    match read {
        Ok((old, new)) => {
            plan.diff = Some(Diff::new(&old, &new));
            plan.missing = new.without(&old);
        }
        Err(error) if kind(&error) == ExitKind::Interrupted => return Err(error),
        Err(error) => {
            cx.warn(format!(
                "the changes on {} are unknown: {}",
                plan.target.host,
                failure::with_hint(&error)
            ));
        }
    }
    plan.timings.0.extend(timings.0);
    Ok(())
}
