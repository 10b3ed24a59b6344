//! Making the plan for a host. Nothing is changed on the host.

use anyhow::Result;

use super::closure::{Closure, Diff};
use super::copy_checks;
use super::find_target::FoundTarget;
use super::host::{self, Activity, BootAnswer, CLOSURE_TIMEOUT, Query, Remote, RemoteStore, SshMux, State};
use super::host_lock::HostLock;
use super::options::{Afterwards, DeployOptions};
use super::plan::Plan;
use super::target::Target;
use super::timings::Timings;
use super::trial;
use crate::bail;
use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, HostName, shell};
use crate::nix;
use crate::nix::emulation;

/// Locks `host`; `None` for a plan that is only shown, which needs no lock.
pub fn lock_host(cx: &Context, options: &DeployOptions, host: &HostName) -> Result<Option<HostLock>> {
    if options.is_dry_run { Ok(None) } else { HostLock::take(cx, host).map(Some) }
}

/// Reads the state of the host, checks that a deploy can succeed, and returns the plan. Whether this machine can build
/// the profile is checked before: see [`require_build_support`].
///
/// # Errors
/// `Refused` if the deploy cannot succeed, for example during an activation, without rights on the host, or on a full
/// disk.
/// `Unreachable`, `HostKey` and `Permission` if ssh cannot connect.
pub fn gather(
    cx: &Context,
    options: &DeployOptions,
    version: nix::Version,
    found: FoundTarget,
    lock: Option<HostLock>,
) -> Result<Plan> {
    let FoundTarget { target, mut timings } = found;
    warn_of_parts_left_out(cx, &target);
    let (facts, mux) = timings.show(cx.reporter.as_ref(), "probe", || query_first(cx, options, &target))?;
    let HostFacts { before, closure, store, boot_answer } = facts;
    let cache = options.cache.as_ref().filter(|_| target.builds_here).map(|cache| cache.url().clone());
    let plan = Plan {
        target,
        goal: options.goal,
        is_dry_run: options.is_dry_run,
        afterwards: options.afterwards,
        before,
        closure,
        diff: None,
        store,
        missing: Vec::new(),
        boot_answer,
        boot: None,
        copied: None,
        cache,
        timings,
        mux,
        lock,
    };
    check_plan(cx, options, version, &plan)?;
    Ok(plan)
}

/// Fails, before anything is built, where this machine must build the profile, but cannot build for its system.
pub fn require_build_support(
    cx: &Context,
    nix_args: &[String],
    version: nix::Version,
    target: &Target,
) -> Result<()> {
    match system_to_build(target) {
        Some(system) => emulation::require(cx, version, system, nix_args),
        None => Ok(()),
    }
}

/// The system that this machine must build the profile for; `None` if it need not, or if that is unknown.
pub fn system_to_build(target: &Target) -> Option<&str> {
    let builds = target.builds_here && target.release.is_none() && !target.path.exists();
    target.platform.as_deref().filter(|_| builds)
}

/// Warns of the keys and profiles of the flake that a deploy does not bring to the host.
pub fn warn_of_parts_left_out(cx: &Context, target: &Target) {
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
            "other profiles of {} are neither deployed nor verified, only `system` is: {names}",
            target.host
        ));
    }
}

/// What the first query reads of the host.
struct HostFacts {
    before: State,
    /// The closure of the running system; `None` if the host already has the desired profile or has no system to
    /// compare, or if the answer is incomplete.
    closure: Option<Closure>,
    store: RemoteStore,
    /// What decides whether the host boots the desired system. Without a reboot, not asked if the host already has the
    /// desired profile or has no system to compare.
    boot_answer: BootAnswer,
}

/// Reads the facts of the host, and returns the connection that all share until the host is changed, if there is one.
/// With `--wait`, waits for a host that does not answer yet.
fn query_first(
    cx: &Context,
    options: &DeployOptions,
    target: &Target,
) -> Result<(HostFacts, Option<SshMux>)> {
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let query = |remote: &Remote| query_host(remote, target, options.afterwards);
    let open = || SshMux::of(cx, target, target.builds_here && options.cache.is_none());
    if let Some(limit) = options.wait {
        let facts = host::wait_until_reachable(target, limit, cx.reporter.as_ref(), || query(&remote))?;
        return Ok((facts, if options.is_dry_run { None } else { open() }));
    }
    let Some(mux) = (!options.is_dry_run).then(open).flatten() else {
        return Ok((host::first_contact(&remote, query)?, None));
    };
    match mux.wait(target) {
        Ok(()) => Ok((query(&remote.with_mux(Some(&mux)))?, Some(mux))),
        Err(error) if kind(&error) == ExitKind::Interrupted || host::is_dead(&error) => Err(error),
        // ssh may ask the user here, and gives a slow sshd more time.
        Err(_) => Ok((query(&remote)?, None)),
    }
}

/// Reads in one query the state of the host, its Nix, the closure of its system, and its boot files.
fn query_host(remote: &Remote, target: &Target, afterwards: Afterwards) -> Result<HostFacts> {
    let running = target.running_link();
    let is_current_or_new = current_or_new_test(target);
    let skip_boot_if = match afterwards {
        Afterwards::Reboot => "false",
        Afterwards::Stay => &is_current_or_new,
    };
    let mut query = Query::new("the query of the state and the closure")?;
    Closure::add_queries(&mut query, &is_current_or_new, running);
    host::add_queries(&mut query, target);
    RemoteStore::add_queries(&mut query, target);
    BootAnswer::add_queries(&mut query, skip_boot_if, target);
    let answer = remote.query(&query, CLOSURE_TIMEOUT)?;
    Ok(HostFacts {
        before: State::read(&answer),
        closure: Closure::parse(&answer),
        store: RemoteStore::read(&answer),
        boot_answer: BootAnswer::read(&answer),
    })
}

/// A command that succeeds if the host has the desired profile of `target`, or nothing to compare it with.
pub fn current_or_new_test(target: &Target) -> String {
    let [profile, running] = [&target.link, target.running_link()].map(shell::quote);
    format!("readlink -f {profile} | grep -qxF {} || test ! -e {running}", target.path)
}

/// Refuses a host that cannot be deployed to now. A host that is current needs no sudo, unless it may be rebooted.
fn check_plan(cx: &Context, options: &DeployOptions, version: nix::Version, plan: &Plan) -> Result<()> {
    let is_current = plan.already_done().is_some();
    if is_current && options.afterwards == Afterwards::Stay {
        check_idle(&plan.target, &plan.before)?;
    } else {
        check_deployable(&plan.target, &plan.before)?;
    }
    trial::check_can_try(cx, options, plan)?;
    if !is_current {
        host::deploy_rs_ssh_opts(&plan.target.host, &plan.target.connection)?;
        copy_checks::check_before_build(cx, options.cache_key.is_some(), version, plan)?;
    }
    Ok(())
}

/// Refuses a host on which a system is on trial, on which another activation runs, or on which sudo asks for a password
/// that nobody can enter.
pub fn check_deployable(target: &Target, state: &State) -> Result<()> {
    check_idle(target, state)?;
    check_sudo(target, state)
}

/// Refuses a host on which a system is on trial, or on which another activation runs.
fn check_idle(target: &Target, state: &State) -> Result<()> {
    trial::check_not_on_trial(target, state)?;
    if state.activity == Activity::Running {
        bail!(
            Refused(Locked), "nothing was deployed: an activation is running on {}", target.host;
            hint: "wait until the other deploy has finished"
        );
    }
    Ok(())
}

/// Refuses a host on which sudo asks for a password, unless deploy-rs asks the user for it.
fn check_sudo(target: &Target, state: &State) -> Result<()> {
    let asks_password = state.passwordless_sudo == Some(false);
    if asks_password && !target.interactive_sudo {
        let user = target.connection.user();
        bail!(
            Refused, "nothing was deployed: {user} needs a password for sudo on {}", target.host;
            hint: "set `security.sudo.wheelNeedsPassword = false` there, or let deploy-rs ask for it: \
                   `-- --interactive-sudo true`"
        );
    }
    Ok(())
}

/// Adds to the plan the diff of the running and the desired closure, and the paths that the host lacks. Adds nothing if
/// what the host runs is unknown, or if the desired system is not built. A failure is only a warning: the deploy does
/// not depend on the diff.
///
/// # Errors
/// `Interrupted` if the user stops the comparison.
pub fn compare(cx: &Context, plan: &mut Plan) -> Result<()> {
    let remote = Remote::new(&cx.launcher, &plan.target.host, &plan.target.connection);
    let remote = remote.with_mux(plan.mux.as_ref());
    let Some(running) = plan.before.running_path(&plan.target) else { return Ok(()) };
    let desired = plan.target.desired_path();
    if !desired.exists() {
        return Ok(());
    }
    let mut timings = Timings::default();
    let closures = timings.time("compare", || {
        let old = match plan.closure.take() {
            Some(closure) if closure.contains(running) => closure,
            _ => Closure::query(&remote, running.as_str())?,
        };
        Ok((old, Closure::read_local(&cx.launcher, desired)?))
    });
    match closures {
        Ok((old, new)) => {
            plan.diff = Some(Diff::new(&old, &new));
            plan.missing = new.missing_in(&old);
        }
        Err(error) if kind(&error) == ExitKind::Interrupted => return Err(error),
        Err(error) => {
            cx.warn_of(&error.context(format!("the changes on {} are unknown", plan.target.host)));
        }
    }
    plan.timings.append(timings);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::verdict::tests::target;

    #[test]
    fn the_refusal_of_a_password_prompt_names_the_whole_user() {
        let mut target = target(None);
        target.connection.destination = "first.last@example.org@pi".into();
        let state = State { passwordless_sudo: Some(false), ..State::default() };
        let error = check_sudo(&target, &state).unwrap_err().to_string();
        assert!(error.contains(": first.last@example.org needs a password"), "{error}");
    }
}
