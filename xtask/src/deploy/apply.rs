//! Applying a plan, and judging the host afterwards.

use anyhow::{Context as _, Result};

use super::activation::{self, DeployExit};
use super::gather::check_deployable;
use super::host::{self, Remote, SshMux, State, Workdir, probe, probe_after_deploy};
use super::lost_link::LostLink;
use super::options::{Afterwards, DeployOptions};
use super::outcome::Outcome;
use super::plan::{Plan, path_text};
use super::stand_in::StandIn;
use super::target::Target;
use super::timings::Timings;
use super::trial;
use super::verdict::{self, Verdict};
use super::via_cache::Copied;
use crate::bail;
use crate::base::failure::{ExitKind, Reason, kind};
use crate::base::{Context, interrupt};
use crate::nix::{self, Destination, Transferred};

/// Applies the plan, reboots the host and runs the health checks where the user asks for them, and returns the outcome.
///
/// # Errors
/// `Refused` if the host changed during the copy; `Unreachable`, `HostKey` or `Undecided` if it stays unknown what the
/// host runs.
pub fn apply(cx: &Context, options: &DeployOptions, plan: Plan) -> Result<Outcome> {
    let mut outcome = match plan.already_done() {
        Some(verdict) => Outcome::unchanged(plan, verdict),
        None => deploy(cx, options, plan)?,
    };
    if options.afterwards == Afterwards::Reboot && outcome.verdict.failure().is_none() {
        reboot(cx, options, &mut outcome)?;
    }
    check_health(cx, options, &mut outcome)?;
    Ok(outcome)
}

/// Copies the closure, runs deploy-rs, and judges the host once no activation runs there. Where the copy fails,
/// deploy-rs does not run.
///
/// # Errors
/// Those of [`apply`].
fn deploy(cx: &Context, options: &DeployOptions, mut plan: Plan) -> Result<Outcome> {
    let mut timings = std::mem::take(&mut plan.timings);
    let flake = plan.target.write_pinned_flake(&cx.state, None)?;
    let args = activation::arguments(&plan.target, &flake, options)?;
    let (launcher, _own_nix) = activation::launcher(cx, &plan.target)?;
    if let Err(error) = copy(cx, options, &mut plan, &mut timings) {
        plan.timings = timings;
        return report_failed_copy(cx, plan, &error);
    }
    let mut mux = plan.mux.take();
    let workdir = prepare_host(cx, &mut plan, mux.as_ref())?;
    plan.target.write_pinned_flake(&cx.state, Some(&workdir.path))?;
    let target = &plan.target;
    let reporter = cx.reporter.as_ref();
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    // Until it is known what the host runs, a stop must not end this process.
    let _signals = interrupt::guard()?;
    let ssh = host::deploy_rs_ssh(cx, &target.host, &remote, mux.as_ref());
    let activate = || activation::run(&launcher, &args, ssh.as_ref(), reporter);
    let (exit, tail) = timings.show(reporter, "activate", activate)?;
    // What proves that the host runs the system, and accepts connections, uses new ones. A host that goes back still
    // uses this one.
    mux.iter_mut().for_each(SshMux::close);
    if exit.is_interrupted() {
        host::report_stop(target, reporter);
    }
    let confirmed = exit.code == 0;
    let read = || read_state_after(cx, &plan, exit, &workdir, ssh.as_ref());
    let after = timings.show(reporter, "verify", read);
    let after = end_connection(mux, after).inspect_err(|_| tail.report(reporter))?;
    if !confirmed {
        workdir.remove(&remote);
    }
    let verdict = verdict::judge(target, plan.goal, &plan.before, &after, exit);
    // Whoever stops deploy-rs knows why it ended, and units that fail are none of its business.
    let has_failed = verdict.failure().is_some_and(|kind| kind != ExitKind::Degraded);
    if !exit.is_interrupted() && (!confirmed || has_failed) {
        tail.report(reporter);
    }
    plan.timings = timings;
    Ok(Outcome { deploy_rs: Some(exit), ..Outcome::new(plan, after, verdict) })
}

/// Reads what the host runs once no activation runs there. deploy-rs, which worked in `workdir` and ran `ssh`, has
/// exited.
fn read_state_after(
    cx: &Context,
    plan: &Plan,
    exit: DeployExit,
    workdir: &Workdir,
    ssh: Option<&StandIn>,
) -> Result<State> {
    let target = &plan.target;
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let confirmed = exit.code == 0;
    let link = LostLink::after(target, plan.goal, exit);
    let probe = || probe_after_deploy(&remote, target, workdir, confirmed);
    let may_begin = || !confirmed && ssh.is_some_and(host::has_activation);
    let after = host::wait_for_activation(
        target,
        cx.reporter.as_ref(),
        link,
        probe,
        may_begin,
        exit.is_interrupted(),
    );
    after.map_err(|error| link.explain(error))
}

/// `after`, what the host runs after the activation. Where that is unknown, the host may still be activating or going
/// back, and the connection `mux` ends with that; else it ends now.
fn end_connection(mux: Option<SshMux>, after: Result<State>) -> Result<State> {
    after.inspect_err(|_| mux.into_iter().for_each(SshMux::leave))
}

/// Probes the host once more after the copy, adds a generation to which deploy-rs can roll back if there is none, and
/// makes the folder for deploy-rs. `mux` is the shared connection.
fn prepare_host(cx: &Context, plan: &mut Plan, mux: Option<&SshMux>) -> Result<Workdir> {
    let target = &plan.target;
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection).with_mux(mux);
    let now = host::wait_for_reconnect(target, cx.reporter.as_ref(), || probe(&remote, target))?;
    plan.before = check_unchanged(target, &plan.before, now)?;
    if plan.needs_rollback_generation() {
        // A failure is a warning: without that generation the deploy works, but cannot be rolled back.
        if let Err(error) = host::add_rollback_generation(&remote, target) {
            cx.warn_of(&error);
        }
        plan.before = probe(&remote, target)?;
    }
    Workdir::make(&remote, target, plan.before.passwordless_sudo)
}

/// Returns the state of the host after the copy, which may have taken long enough for another deploy.
///
/// # Errors
/// `Refused` if the host cannot be deployed to any more, or runs something else than `before`.
fn check_unchanged(target: &Target, before: &State, now: State) -> Result<State> {
    check_deployable(target, &now)?;
    if verdict::is_unchanged(before, &now) {
        return Ok(now);
    }
    let host = &target.host;
    let change = if before.current == now.current {
        let [was, is] = [before, &now].map(|state| path_text(state.profile.as_ref()));
        format!("its profile was {was} and is now {is}")
    } else {
        let [was, is] = [before, &now].map(|state| path_text(state.current.as_ref()));
        format!("it ran {was} and now runs {is}")
    };
    bail!(
        Refused, "{host} changed during this deploy: {change}"; hint: "check what {host} runs, then deploy again"
    );
}

/// Brings the profile to the host, unless the host builds it: by way of the cache, if there is one, and what does not
/// come that way by a direct copy.
fn copy(cx: &Context, options: &DeployOptions, plan: &mut Plan, timings: &mut Timings) -> Result<()> {
    if let Some(shared) = &plan.mux
        && !shared.is_usable(&cx.launcher, &plan.target.connection)?
    {
        plan.mux = None;
    }
    if !plan.target.builds_here {
        return Ok(());
    }
    let copied = match &options.cache {
        Some(cache) => timings.time("fetch", || cache.fetch(cx, plan, plan.mux.as_ref()))?,
        None => Copied::default(),
    };
    let is_complete = options.cache.is_some() && copied.fallback.is_none();
    let copied = plan.copied.insert(copied);
    if !is_complete {
        copied.directly =
            Some(timings.time("copy", || copy_directly(cx, options, &plan.target, plan.mux.as_ref()))?);
    }
    Ok(())
}

/// Copies the profile from this machine to the host.
fn copy_directly(
    cx: &Context,
    options: &DeployOptions,
    target: &Target,
    mux: Option<&SshMux>,
) -> Result<Transferred> {
    let mut flags = Vec::new();
    if !target.fast_connection {
        flags.push("--substitute-on-destination");
    }
    if !options.overrides.checks_signatures {
        flags.push("--no-check-sigs");
    }
    let mux_options = mux.map(SshMux::options).unwrap_or_default();
    let ssh_options = Some(host::nix_ssh_opts(&target.connection, mux_options));
    let connection = &target.connection;
    let login = connection.destination.clone();
    let to = Destination { login, ssh_words: connection.ssh_words(), ssh_options, flags };
    let copied = nix::copy(&cx.launcher, &target.path, &to, cx.reporter.as_ref());
    copied.map_err(|error| with_host_output(cx, target, error))
}

/// Adds the output of `nix-store` on the host to the `error` of a copy, if Nix does not explain that error: Nix takes
/// text on the stdout of `nix-store` for an answer to itself, and drops it. Returns any other error unchanged, and also
/// this one if `nix-store` cannot be run again.
fn with_host_output(cx: &Context, target: &Target, error: anyhow::Error) -> anyhow::Error {
    if !nix::is_silent_host(&error) {
        return error;
    }
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    // Without input `nix-store` ends at once.
    let Ok(output) = remote.run_with_any_exit_code("nix-store --serve --write") else { return error };
    let words = host::tail(&[output.stdout, output.stderr].concat());
    let words = if words.is_empty() { "nothing".to_owned() } else { words };
    let message = format!(
        "{error:#}\n  `nix-store --serve` on {} exits with {} and prints: {words}",
        target.host, output.code
    );
    kind(&error).error_with_hint_of(message, &error)
}

/// The outcome of a copy that failed, or that the user stopped: nothing was activated, but the state of the host is
/// read all the same.
fn report_failed_copy(cx: &Context, plan: Plan, error: &anyhow::Error) -> Result<Outcome> {
    let verdict = if kind(error) == ExitKind::Interrupted { Verdict::Stopped } else { Verdict::NotCopied };
    let target = &plan.target;
    let doing = || format!("probing {} after a failed copy; nothing was activated", target.host);
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let after = host::wait_for_reconnect(target, cx.reporter.as_ref(), || probe(&remote, target))
        .with_context(doing)?;
    let copy_failed = Some(Reason::of_error(error));
    Ok(Outcome { copy_failed, ..Outcome::new(plan, after, verdict) })
}

/// Reboots the host, and judges it again. A host that was current before the deploy is rebooted only if its booted
/// system or kernel is not the current one.
fn reboot(cx: &Context, options: &DeployOptions, outcome: &mut Outcome) -> Result<()> {
    if outcome.verdict == Verdict::AlreadyCurrent && !outcome.after.awaits_reboot() {
        return Ok(());
    }
    let doing = format!("rebooting {} after the deploy", outcome.plan.target.host);
    let rebooted = if trial::next_boot_is_trial(outcome) {
        trial::reboot(cx, options, outcome)
    } else {
        reboot_without_trial(cx, options, outcome)
    };
    rebooted.context(doing)
}

/// Reboots a host whose next boot is no trial, and judges it again. A host that does not come back gets a verdict, too.
fn reboot_without_trial(cx: &Context, options: &DeployOptions, outcome: &mut Outcome) -> Result<()> {
    let target = &outcome.plan.target;
    let before = &outcome.after;
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let mut timings = std::mem::take(&mut outcome.plan.timings);
    let limit = options.boot_timeout();
    let reporter = cx.reporter.as_ref();
    let state =
        timings.show(reporter, "reboot", || host::reboot_and_probe(&remote, target, before, limit, reporter));
    outcome.plan.timings = timings;
    match state {
        Err(error) if kind(&error) == ExitKind::Unreachable => {
            outcome.verdict = Verdict::NeverCameBack;
            outcome.reason = Some(format!("{error:#}"));
        }
        state => {
            outcome.after = state?;
            outcome.verdict =
                verdict::judge_after_reboot(&outcome.plan.target, &outcome.plan.before, &outcome.after);
        }
    }
    Ok(())
}

/// Runs the user's health checks, unless the deploy has failed or a reboot on trial has run them. The host runs the
/// desired system: without a reboot, the command line has no health checks for a system of the next boot.
fn check_health(cx: &Context, options: &DeployOptions, outcome: &mut Outcome) -> Result<()> {
    // A reboot on trial runs the checks before the blessing.
    let has_run_them = !outcome.health.is_empty();
    if options.health.is_empty() || has_run_them || outcome.verdict.failure().is_some() {
        return Ok(());
    }
    let target = &outcome.plan.target;
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let mut timings = std::mem::take(&mut outcome.plan.timings);
    let checked = timings.show(cx.reporter.as_ref(), "health", || host::run_checks(&remote, &options.health));
    outcome.plan.timings = timings;
    match checked {
        Err(error) if kind(&error) == ExitKind::Interrupted => outcome.verdict = Verdict::Unchecked,
        checked => outcome.health = checked?,
    }
    if outcome.health.iter().any(host::Check::has_failed) {
        outcome.verdict = Verdict::Unhealthy;
    }
    Ok(())
}
