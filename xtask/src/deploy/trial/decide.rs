//! `deploy --bless` and `deploy --abort-trial`: the user decides about a trial. Nothing is deployed.

use anyhow::{Context as _, Result};

use super::decision::{Decision, DecisionOutcome, DecisionPlan, DecisionVerdict};
use super::words;
use crate::bail;
use crate::base::{Context, HostName};
use crate::deploy::find_target::evaluate;
use crate::deploy::host::{self, Remote, State, Trial, TrialStatus, probe};
use crate::deploy::host_lock::HostLock;
use crate::deploy::options::DeployOptions;
use crate::deploy::plan::path_text;
use crate::deploy::target::Target;
use crate::failure;
use crate::nix::StorePath;

/// The system that a decision is about.
#[derive(Debug, PartialEq, Eq)]
struct Subject {
    system: StorePath,
    /// The verdict on a host that needs no change.
    already_done: Option<DecisionVerdict>,
}

/// Locks `host`, reads its trials, and returns the plan for `decision`.
///
/// # Errors
/// `Refused` for a host without trials, or with trials that cannot be read; also if `decision` applies to none of the
/// host's systems. A decision that changes nothing is no error: the plan then has its verdict.
pub fn plan_decision(
    cx: &Context,
    options: &DeployOptions,
    decision: Decision,
    host: &HostName,
) -> Result<DecisionPlan> {
    let target = evaluate(cx, &options.overrides, options.nix_args(), host)?;
    let lock = HostLock::take(cx, host)?;
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let state = cx.in_phase("probe", || probe(&remote, &target))?;
    let before = trial_status(&target, &state)?;
    let Subject { system, already_done } = match decision {
        Decision::Bless => system_to_bless(&target, &before)?,
        Decision::Abort => system_to_abort(&target, &before)?,
    };
    Ok(DecisionPlan { target, decision, before, system, already_done, _lock: lock })
}

/// The status of the host's trials.
///
/// # Errors
/// `Refused` for a host without trials, or with trials that cannot be read.
fn trial_status(target: &Target, state: &State) -> Result<TrialStatus> {
    let host = &target.host;
    match &state.trial {
        Trial::Known(status) => Ok(TrialStatus::clone(status)),
        Trial::Absent => bail!(
            Refused, "{host} has no trials: it has no command `boot-trial`";
            hint: "`cargo xtask status {host:#}` shows what it runs"
        ),
        Trial::Unreadable { error } => bail!(
            Refused, "{}", words::unreadable_trial_text(host, error);
            hint: "run `sudo boot-trial status` on {host}"
        ),
    }
}

/// The system on trial; else the booted one, if it is blessed already.
///
/// # Errors
/// `Refused` if the booted system is neither on trial nor blessed.
fn system_to_bless(target: &Target, status: &TrialStatus) -> Result<Subject> {
    let host = &target.host;
    if let Some(system) = &status.on_trial {
        return Ok(Subject { system: system.clone(), already_done: None });
    }
    if let Some(booted) = &status.booted
        && status.blessed.as_ref() == Some(booted)
    {
        return Ok(Subject { system: booted.clone(), already_done: Some(DecisionVerdict::AlreadyBlessed) });
    }
    if let Some(pending) = &status.pending {
        bail!(
            Refused, "{host} has not booted {pending} yet, so it cannot be blessed";
            hint: "run `cargo xtask deploy {host:#} --reboot`"
        );
    }
    bail!(
        Refused, "nothing to bless on {host}: {host} has booted {}, which is neither on trial nor blessed",
        path_text(status.booted.as_ref());
        hint: "run `cargo xtask deploy {host:#} --reboot`"
    );
}

/// The pending system; with none pending, the blessed one, which the host starts already.
///
/// # Errors
/// `Refused` if a system is on trial, or if the host has neither a pending nor a blessed system.
fn system_to_abort(target: &Target, status: &TrialStatus) -> Result<Subject> {
    let host = &target.host;
    if let Some(system) = &status.on_trial {
        let blessed = status.blessed.as_ref();
        let then = blessed.map(|blessed| format!(", which then starts {blessed}")).unwrap_or_default();
        bail!(
            Refused, "{system} is on trial on {host}: only a reboot ends its trial";
            hint: "run `sudo systemctl reboot` on {host}{then}"
        );
    }
    match (&status.pending, &status.blessed) {
        (Some(pending), _) => Ok(Subject { system: pending.clone(), already_done: None }),
        (None, Some(blessed)) => {
            Ok(Subject { system: blessed.clone(), already_done: Some(DecisionVerdict::NothingPending) })
        }
        (None, None) => bail!(
            Refused, "{host} does not know which system it starts by default";
            hint: "run `sudo boot-trial status` on {host}"
        ),
    }
}

/// Carries out the decision of `plan`, and judges it by what the host answers afterwards.
///
/// # Errors
/// `RolledBack` if the host decided otherwise, `Undecided` if the host refuses the decision.
pub fn decide(cx: &Context, plan: DecisionPlan) -> Result<DecisionOutcome> {
    if let Some(verdict) = plan.already_done {
        let after = plan.before.clone();
        return Ok(DecisionOutcome { plan, verdict, after });
    }
    let target = &plan.target;
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let carried_out = match plan.decision {
        Decision::Bless => host::bless_trial(&remote, target),
        Decision::Abort => host::abort_trial(&remote, target),
    };
    // The command may have failed only because the connection ended, so the state of the host decides.
    let after = probe(&remote, target).and_then(|state| trial_status(target, &state));
    let after = after.with_context(|| format!("reading the trial of {} afterwards", target.host))?;
    match judge_decision(plan.decision, &plan.system, &after) {
        Some(verdict) => Ok(DecisionOutcome { plan, verdict, after }),
        None => Err(carried_out.err().unwrap_or_else(|| not_done_error(&plan, &after))),
    }
}

/// The verdict on a decision about `system`; `None` if the host has not carried it out.
fn judge_decision(decision: Decision, system: &StorePath, after: &TrialStatus) -> Option<DecisionVerdict> {
    let is_blessed = after.blessed.as_ref() == Some(system);
    let boots_another = after.next_boot().is_some_and(|next| next != system);
    match decision {
        Decision::Bless => is_blessed.then_some(DecisionVerdict::Blessed),
        Decision::Abort => boots_another.then_some(DecisionVerdict::Aborted),
    }
}

/// The error for a host that decided otherwise, such as one that went back before it was told to keep its system.
fn not_done_error(plan: &DecisionPlan, after: &TrialStatus) -> anyhow::Error {
    let host = &plan.target.host;
    let next = path_text(after.next_boot());
    failure!(
        RolledBack, "{} was not {}: {host} has booted {}, and its next boot starts {next}",
        plan.system, plan.decision.participle(), path_text(after.booted.as_ref());
        hint: "`cargo xtask status {host:#}` shows what became of the trial"
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
    fn a_booted_system_can_be_blessed_and_a_pending_one_aborted() {
        let target = target(None);
        // The status has the systems: booted, blessed, on trial, pending.
        for (status, bless, abort) in [
            (status("new", "old", "new", ""), Some(("new", None)), None),
            (
                status("old", "old", "", "new"),
                Some(("old", Some(DecisionVerdict::AlreadyBlessed))),
                Some(("new", None)),
            ),
            (
                status("old", "old", "", ""),
                Some(("old", Some(DecisionVerdict::AlreadyBlessed))),
                Some(("old", Some(DecisionVerdict::NothingPending))),
            ),
            (status("other", "old", "", "new"), None, Some(("new", None))),
            (status("other", "old", "", ""), None, Some(("old", Some(DecisionVerdict::NothingPending)))),
            (status("", "", "", ""), None, None),
        ] {
            for (found, expected) in
                [(system_to_bless(&target, &status), bless), (system_to_abort(&target, &status), abort)]
            {
                let refused = found.as_ref().err().map(kind);
                assert_eq!(refused, expected.is_none().then_some(ExitKind::Refused), "{status:?}");
                let expected =
                    expected.map(|(name, already_done)| Subject { system: store(name), already_done });
                assert_eq!(found.ok(), expected, "{status:?}");
            }
        }
    }

    #[test]
    fn the_state_of_the_host_shows_whether_a_decision_took_effect() {
        // The status has the systems: booted, blessed, on trial, pending.
        for (decision, after, expected) in [
            (Decision::Bless, status("new", "new", "", ""), Some(DecisionVerdict::Blessed)),
            (Decision::Bless, status("new", "old", "new", ""), None),
            (Decision::Bless, status("old", "old", "", ""), None),
            (Decision::Abort, status("old", "old", "", ""), Some(DecisionVerdict::Aborted)),
            (Decision::Abort, status("old", "old", "", "new"), None),
            (Decision::Abort, status("new", "old", "new", ""), Some(DecisionVerdict::Aborted)),
        ] {
            assert_eq!(judge_decision(decision, &store("new"), &after), expected, "{after:?}");
        }
    }
}
