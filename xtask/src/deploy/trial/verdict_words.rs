//! The summaries and hints of the verdicts that only trials have.

use super::judge::booted;
use crate::deploy::host::{Blesser, State};
use crate::deploy::outcome::Outcome;
use crate::deploy::plan::path_text;
use crate::deploy::verdict::Verdict;
use crate::nix::StorePath;

/// The summary of a verdict that only trials and reboots have; `None` for others.
pub fn summary(outcome: &Outcome) -> Option<String> {
    let host = &outcome.plan.target.host;
    let desired = outcome.desired();
    let reason = outcome.reason.as_deref().unwrap_or("the reason is unknown");
    Some(match outcome.verdict {
        Verdict::OnTrial => {
            format!("{host} tries {desired} at its next boot{}", keep_condition(&outcome.after))
        }
        Verdict::RolledBackAcrossReboot => format!(
            "{host} rolled back across the reboot to {}: {desired} was not kept: {}",
            path_text(booted(&outcome.after)),
            why(&outcome.after, desired)
        ),
        Verdict::NotBlessed => {
            format!(
                "{host} runs {desired} on trial only, and goes back{}: {reason}",
                deadline(&outcome.after)
            )
        }
        Verdict::NotTried => {
            format!("{host} runs {desired}, but was not rebooted, as its trial could not be armed: {reason}")
        }
        Verdict::NeverCameBack => format!("{host} never came back from its reboot: {reason}"),
        Verdict::Unchecked if on_trial(&outcome.after) => format!(
            "{host} runs {desired} on trial only, and goes back{}: the health check was stopped",
            deadline(&outcome.after)
        ),
        _ => return None,
    })
}

/// The remedy for a failed trial or reboot.
pub fn hint(outcome: &Outcome) -> Option<String> {
    let host = &outcome.plan.target.host;
    let keep = format!("`cargo xtask deploy {host} --bless` keeps the new system, if it is good");
    match outcome.verdict {
        Verdict::RolledBackAcrossReboot if was_not_tried(&outcome.after, outcome.desired()) => {
            Some(format!("run `sudo update-firmware` on {host}, then deploy again with `--reboot`"))
        }
        Verdict::RolledBackAcrossReboot => Some(format!(
            "mend the configuration, then deploy again; `journalctl -b -1` on {host} may know more"
        )),
        Verdict::NotBlessed => Some(keep),
        Verdict::Unchecked if on_trial(&outcome.after) => Some(keep),
        Verdict::NotTried => {
            Some(format!("run `sudo update-firmware` on {host}, then deploy again with `--reboot`"))
        }
        Verdict::NeverCameBack => Some(format!(
            "switch {host} off and on, {}then run `cargo xtask status {host}`; see docs/deploying.md, \"A host that never \
             came back\"",
            starts(&outcome.after)
        )),
        _ => None,
    }
}

/// The remark that the next boot tries the new system, with the command that tries it now; `None` where it does not.
pub fn next_boot_remark(outcome: &Outcome) -> Option<String> {
    let host = &outcome.plan.target.host;
    let is_open = matches!(outcome.verdict, Verdict::Done | Verdict::RebootNeeded | Verdict::AlreadyCurrent);
    if !is_open || !outcome.after.reboot_needed || !super::next_boot_is_trial(outcome) {
        return None;
    }
    Some(format!(
        "the next boot of {host} tries the new system{}; `cargo xtask deploy {host} --reboot` tries it now, and blesses it if it passes all checks",
        keep_condition(&outcome.after)
    ))
}

fn on_trial(state: &State) -> bool {
    state.trial.known().is_some_and(|status| status.on_trial.is_some())
}

fn was_not_tried(state: &State, desired: &StorePath) -> bool {
    state.trial.known().is_some_and(|status| status.pending.as_ref() == Some(desired))
}

/// The condition on which the host keeps the system that its next boot tries, as the end of a sentence.
fn keep_condition(state: &State) -> String {
    match state.trial.known().and_then(|status| Some((status.by?, status.within))) {
        Some((Blesser::Host, _)) => ", and keeps it if its own checks pass".into(),
        Some((Blesser::Deployer, within)) => {
            format!(", and keeps it if `deploy --bless` follows within {within} s")
        }
        None => String::new(),
    }
}

/// When a host on trial goes back, as the end of a sentence.
fn deadline(state: &State) -> String {
    let within = state.trial.known().map(|status| status.within).filter(|seconds| *seconds > 0);
    within.map(|seconds| format!(" {seconds} s after its start")).unwrap_or_default()
}

/// Why the host went back from `desired`, or how far its trial had come.
pub fn why(state: &State, desired: &StorePath) -> String {
    if was_not_tried(state, desired) {
        return "U-Boot did not try it, as boot.scr on FIRMWARE did not run".into();
    }
    let last = state.trial.known().and_then(|status| status.rollback());
    match last.filter(|last| last.system.as_ref() == Some(desired)) {
        Some(last) => last.why(),
        None => "the host has not noted why".into(),
    }
}

/// The system that a host starts after it was switched off and on, as a clause of the hint.
fn starts(state: &State) -> String {
    let blessed = state.trial.known().and_then(|status| status.blessed.as_ref());
    blessed.map(|system| format!("which starts {system} if the new system was tried, ")).unwrap_or_default()
}
