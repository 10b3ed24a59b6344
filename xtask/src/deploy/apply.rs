//! A plan is carried out, and judged by what the host runs then.

use anyhow::{Context as _, Result};

use super::activation;
use super::gather::obstacle;
use super::host::{self, Remote, SshMux, State, Workdir, probe, probe_after};
use super::options::{Afterwards, DeployOptions};
use super::outcome::Outcome;
use super::plan::{Plan, shown};
use super::target::Target;
use super::verdict::{self, Verdict};
use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, Event, project};
use crate::nix::{self, Destination};

/// Carries the plan out and returns what became of it.
///
/// # Errors
/// Where it cannot be found out what the host runs: `Unreachable`, `HostKey` or `Undecided`.
pub fn act(cx: &Context, order: &DeployOptions, plan: Plan) -> Result<Outcome> {
    let mut outcome = match plan.already_done() {
        Some(verdict) => Outcome::unchanged(plan, verdict),
        None => deploy(cx, order, plan)?,
    };
    if order.afterwards == Afterwards::Reboot && outcome.verdict.failure().is_none() {
        reboot(cx, &mut outcome)?;
    }
    check_health(cx, order, &mut outcome)?;
    Ok(outcome)
}

fn deploy(cx: &Context, order: &DeployOptions, mut plan: Plan) -> Result<Outcome> {
    let mut timings = std::mem::take(&mut plan.timings);
    let pinned = plan.target.freeze(&project::state_dir(), None)?;
    let args = activation::arguments(&plan.target, &pinned, order)?;
    let copied = timings.time("copy", || copy(cx, order, &mut plan));
    if let Err(error) = copied {
        plan.timings = timings;
        return not_copied(cx, plan, &error);
    }
    let workdir = make_ready(cx, &mut plan)?;
    plan.target.freeze(&project::state_dir(), Some(&workdir.path))?;
    let (target, reporter) = (&plan.target, cx.reporter.as_ref());
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let ran = timings.time("activate", || activation::run(&cx.launcher, &args, reporter))?;
    if ran.interrupted() {
        reporter.report(&Event::note(format!("stopped; finding out what {} runs", target.host)));
    }
    let confirmed = ran.code == 0;
    let ask = || probe_after(&remote, target, &workdir, confirmed);
    let after = timings.time("prove", || host::settle(target, reporter, ask))?;
    if !confirmed {
        workdir.remove(&remote);
    }
    let verdict = verdict::judge(target, plan.goal, &plan.before, &after, ran);
    plan.timings = timings;
    Ok(Outcome { verdict, after, deploy_rs: Some(ran), copy_failed: None, health: Vec::new(), plan })
}

/// Looks at the host once more, now that it has all that it needs, and makes the folder in which deploy-rs works there.
/// What comes after that is asked on fresh connections.
fn make_ready(cx: &Context, plan: &mut Plan) -> Result<Workdir> {
    let line = plan.line.take();
    let (target, reporter) = (&plan.target, cx.reporter.as_ref());
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection).over(line.as_ref());
    let now = host::again(target, reporter, || probe(&remote, target))?;
    plan.before = still_as_it_was(target, &plan.before, now)?;
    if plan.lacks_way_back() {
        // Without it the deploy is what it always was: one that cannot be undone.
        if let Err(error) = host::make_way_back(&remote, target) {
            cx.warn(format!("{error:#}"));
        }
        plan.before = probe(&remote, target)?;
    }
    Workdir::make(&remote, target, plan.before.sudo)
}

/// The state of the host once it has all that it needs, which may take a while: others may have been at it.
fn still_as_it_was(target: &Target, before: &State, now: State) -> Result<State> {
    if let Some(why) = obstacle(target, &now) {
        return Err(ExitKind::Refused.error(why));
    }
    if verdict::same(before, &now) {
        return Ok(now);
    }
    let (host, was, is) = (&target.host, shown(before.current.as_ref()), shown(now.current.as_ref()));
    Err(ExitKind::Refused.error(format!(
        "somebody else deployed to {host} meanwhile: it ran {was} and now runs {is}; look at it, and again"
    )))
}

/// Copies the profile to the host. What the host builds itself is not copied.
fn copy(cx: &Context, order: &DeployOptions, Plan { target, line, .. }: &mut Plan) -> Result<()> {
    if !target.builds_here {
        return Ok(());
    }
    let carries = line.as_ref().map(|line| line.carries(&cx.launcher, &target.connection)).transpose()?;
    line.take_if(|_| carries == Some(false));
    let mut flags = Vec::new();
    flags.extend((!target.fast_connection).then_some("--substitute-on-destination"));
    flags.extend((!order.overrides.checks_signatures).then_some("--no-check-sigs"));
    let ssh_options =
        Some(host::words(&target.connection, line.as_ref().map(SshMux::options).unwrap_or_default()));
    let to = Destination { login: target.connection.destination.clone(), ssh_options, flags };
    nix::copy(&cx.launcher, &target.path, &to, cx.reporter.as_ref())
}

/// Nothing was activated; the host is asked all the same what it runs.
fn not_copied(cx: &Context, plan: Plan, error: &anyhow::Error) -> Result<Outcome> {
    let verdict = if kind(error) == ExitKind::Interrupted { Verdict::Stopped } else { Verdict::NotCopied };
    let target = &plan.target;
    let lost = || {
        format!("{} was lost while all that it needs was copied to it; nothing was activated", target.host)
    };
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let after = host::again(target, cx.reporter.as_ref(), || probe(&remote, target)).with_context(lost)?;
    let copy_failed = Some(format!("{error:#}"));
    Ok(Outcome { verdict, after, deploy_rs: None, copy_failed, health: Vec::new(), plan })
}

/// Reboots a host that does not run yet what it boots, or whose kernel is another's, and proves it again.
fn reboot(cx: &Context, outcome: &mut Outcome) -> Result<()> {
    let (target, before) = (&outcome.plan.target, &outcome.after);
    let pending = before.reboot_needed || before.booted != before.current;
    if outcome.verdict == Verdict::AlreadyCurrent && !pending {
        return Ok(());
    }
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let lost = || format!("{} was deployed and rebooted, and does not answer", target.host);
    let ask = || probe(&remote, target);
    let mut timings = std::mem::take(&mut outcome.plan.timings);
    let found = timings.time("reboot", || host::reboot(&remote, target, before, cx.reporter.as_ref(), ask));
    let after = found.with_context(lost)?;
    outcome.verdict = verdict::judge_booted(target, &outcome.plan.before, &after);
    outcome.plan.timings = timings;
    outcome.after = after;
    Ok(())
}

/// Runs what the user wants to succeed on the host, once it runs what is meant.
fn check_health(cx: &Context, order: &DeployOptions, outcome: &mut Outcome) -> Result<()> {
    if order.health.is_empty() || outcome.verdict.failure().is_some() {
        return Ok(());
    }
    let target = &outcome.plan.target;
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let mut timings = std::mem::take(&mut outcome.plan.timings);
    let checked = timings.time("health", || host::check(&remote, &order.health));
    outcome.plan.timings = timings;
    match checked {
        Err(error) if kind(&error) == ExitKind::Interrupted => outcome.verdict = Verdict::Unchecked,
        checked => outcome.health = checked?,
    }
    if outcome.health.iter().any(host::Check::failed) {
        outcome.verdict = Verdict::Unhealthy;
    }
    Ok(())
}
