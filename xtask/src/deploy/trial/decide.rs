//! `deploy --bless` and `deploy --abort-trial`: the user decides about a trial. Nothing is deployed.

use anyhow::{Context as _, Result};

use super::decision::{Decided, Decision, DecisionOutcome, DecisionPlan};
use super::words;
use crate::bail;
use crate::base::{Context, HostName};
use crate::deploy::gather::evaluate;
use crate::deploy::host::{self, Remote, State, Trial, TrialStatus, probe};
use crate::deploy::host_lock::HostLock;
use crate::deploy::options::DeployOptions;
use crate::deploy::plan::path_text;
use crate::deploy::target::Target;
use crate::failure;
use crate::nix::StorePath;

/// Reads the trial of `host`, and checks that `decision` can be carried out.
///
/// # Errors
/// `Refused` if the host has no trial to decide about.
pub fn plan_decision(
    cx: &Context,
    options: &DeployOptions,
    decision: Decision,
    host: &HostName,
) -> Result<DecisionPlan> {
    let target = cx.in_phase("evaluate", || evaluate(cx, &options.overrides, options.nix_args(), host))?;
    let lock = HostLock::take(cx, host)?;
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let state = cx.in_phase("probe", || probe(&remote, &target))?;
    let before = trial_status(&target, &state)?;
    let (system, already) = match decision {
        Decision::Bless => system_to_bless(&target, &before)?,
        Decision::Abort => system_to_abort(&target, &before)?,
    };
    Ok(DecisionPlan { target, decision, before, system, already, _lock: lock })
}

/// The status of the host's trials.
///
/// # Errors
/// `Refused` for a host without trials.
fn trial_status(target: &Target, state: &State) -> Result<TrialStatus> {
    let host = &target.host;
    match &state.trial {
        Trial::Known(status) => Ok(TrialStatus::clone(status)),
        Trial::Absent => bail!(
            Refused, "{host} has no trials: it has no command `boot-trial`";
            hint: "`cargo xtask status {host}` shows what it runs"
        ),
        Trial::Unreadable { error } => bail!(
            Refused, "{}", words::unreadable(host, error);
            hint: "run `sudo boot-trial status` on {host}"
        ),
    }
}

/// The booted system, and the outcome if it needs no blessing.
fn system_to_bless(target: &Target, status: &TrialStatus) -> Result<(StorePath, Option<Decided>)> {
    let host = &target.host;
    match (&status.on_trial, &status.booted, &status.pending) {
        (Some(system), _, _) => Ok((system.clone(), None)),
        (None, Some(booted), _) if status.blessed.as_ref() == Some(booted) => {
            Ok((booted.clone(), Some(Decided::AlreadyBlessed)))
        }
        (None, _, Some(pending)) => Err(failure!(
            Refused, "{host} has not booted {pending} yet, so it cannot be blessed";
            hint: "run `cargo xtask deploy {host} --reboot`"
        )),
        _ => Err(failure!(
            Refused, "no system is on trial on {host}, which has booted {}", path_text(status.booted.as_ref());
            hint: "run `cargo xtask deploy {host} --reboot`"
        )),
    }
}

/// The pending system. With none pending, the blessed one and the outcome.
fn system_to_abort(target: &Target, status: &TrialStatus) -> Result<(StorePath, Option<Decided>)> {
    let host = &target.host;
    match (&status.on_trial, &status.pending, &status.blessed) {
        (Some(system), _, _) => Err(failure!(
            Refused, "{system} is on trial on {host}: only a reboot ends its trial";
            hint: "run `sudo systemctl reboot` on {host}, which then starts {}", path_text(status.blessed.as_ref())
        )),
        (None, Some(pending), _) => Ok((pending.clone(), None)),
        (None, None, Some(blessed)) => Ok((blessed.clone(), Some(Decided::NothingPending))),
        (None, None, None) => Err(failure!(
            Refused, "{host} does not know which system it starts by default";
            hint: "run `sudo boot-trial status` on {host}"
        )),
    }
}

/// Carries the decision out, and returns what the host answers afterwards.
///
/// # Errors
/// `RolledBack` if the host decided otherwise, `Undecided` if it refuses.
pub fn decide(cx: &Context, plan: DecisionPlan) -> Result<DecisionOutcome> {
    if let Some(decided) = plan.already {
        let after = plan.before.clone();
        return Ok(DecisionOutcome { plan, decided, after });
    }
    let target = &plan.target;
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let done = match plan.decision {
        Decision::Bless => host::bless_trial(&remote, target),
        Decision::Abort => host::abort_trial(&remote, target),
    };
    let read = || probe(&remote, target).and_then(|state| trial_status(target, &state));
    // The command may have failed only because the connection ended, so the state of the host decides.
    let after = read().with_context(|| format!("reading the trial of {} afterwards", target.host))?;
    match decided(plan.decision, &plan.system, &after) {
        Some(decided) => Ok(DecisionOutcome { plan, decided, after }),
        None => Err(done.err().unwrap_or_else(|| not_done_error(&plan, &after))),
    }
}

/// What is true of `system` after the decision; `None` if the host has not done it.
fn decided(decision: Decision, system: &StorePath, after: &TrialStatus) -> Option<Decided> {
    match decision {
        Decision::Bless if after.blessed.as_ref() == Some(system) => Some(Decided::Blessed),
        Decision::Abort if after.next_boot().is_some_and(|next| next != system) => Some(Decided::Aborted),
        _ => None,
    }
}

/// The error for a host that decided otherwise.
fn not_done_error(plan: &DecisionPlan, after: &TrialStatus) -> anyhow::Error {
    let host = &plan.target.host;
    let next = path_text(after.next_boot());
    failure!(
        RolledBack, "{} was not {}: {host} has booted {}, and its next boot starts {next}",
        plan.system, plan.decision.participle(), path_text(after.booted.as_ref());
        hint: "`cargo xtask status {host}` shows what became of the trial"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};
    use crate::deploy::verdict::tests::{store, target};

    fn status(booted: &str, blessed: &str, on_trial: &str, pending: &str) -> TrialStatus {
        let path = |name: &str| (!name.is_empty()).then(|| store(name));
        TrialStatus {
            booted: path(booted),
            blessed: path(blessed),
            on_trial: path(on_trial),
            pending: path(pending),
            ..TrialStatus::default()
        }
    }

    #[test]
    fn what_can_be_decided() {
        let target = target(None);
        for (status, bless, abort) in [
            (status("new", "old", "new", ""), Some(("new", None)), None),
            (
                status("old", "old", "", "new"),
                Some(("old", Some(Decided::AlreadyBlessed))),
                Some(("new", None)),
            ),
            (
                status("old", "old", "", ""),
                Some(("old", Some(Decided::AlreadyBlessed))),
                Some(("old", Some(Decided::NothingPending))),
            ),
            (status("other", "old", "", "new"), None, Some(("new", None))),
            (status("other", "old", "", ""), None, Some(("old", Some(Decided::NothingPending)))),
            (status("", "", "", ""), None, None),
        ] {
            for (found, expected) in
                [(system_to_bless(&target, &status), bless), (system_to_abort(&target, &status), abort)]
            {
                let refused = found.as_ref().err().map(kind);
                assert_eq!(refused, expected.is_none().then_some(ExitKind::Refused), "{status:?}");
                assert_eq!(found.ok(), expected.map(|(name, already)| (store(name), already)), "{status:?}");
            }
        }
    }

    #[test]
    fn what_was_decided() {
        for (decision, after, expected) in [
            (Decision::Bless, status("new", "new", "", ""), Some(Decided::Blessed)),
            (Decision::Bless, status("new", "old", "new", ""), None),
            (Decision::Bless, status("old", "old", "", ""), None),
            (Decision::Abort, status("old", "old", "", ""), Some(Decided::Aborted)),
            (Decision::Abort, status("old", "old", "", "new"), None),
            (Decision::Abort, status("new", "old", "new", ""), Some(Decided::Aborted)),
        ] {
            assert_eq!(decided(decision, &store("new"), &after), expected, "{after:?}");
        }
    }
}
