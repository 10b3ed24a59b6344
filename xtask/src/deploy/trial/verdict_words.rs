//! The summaries and hints of the verdicts that only trials have.

use super::judge::booted_system;
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
            format!("{host} tries {desired} at its next boot{}", keep_clause(&outcome.after))
        }
        Verdict::RolledBackAcrossReboot => format!(
            "{host} rolled back across the reboot to {}: {desired} was not kept: {}",
            path_text(booted_system(&outcome.after)),
            rollback_reason(&outcome.after, desired)
        ),
        Verdict::NotBlessed => {
            format!(
                "{host} runs {desired} on trial only, and goes back{}: {reason}",
                deadline_clause(&outcome.after)
            )
        }
        Verdict::NotTried => {
            format!("{host} runs {desired}, but was not rebooted, as its trial could not be armed: {reason}")
        }
        Verdict::NeverCameBack => format!("{host} never came back from its reboot: {reason}"),
        Verdict::Unchecked if is_on_trial(&outcome.after) => format!(
            "{host} runs {desired} on trial only, and goes back{}: the health check was stopped",
            deadline_clause(&outcome.after)
        ),
        _ => return None,
    })
}

/// The remedy for a failed trial or reboot; `None` for other verdicts.
pub fn hint(outcome: &Outcome) -> Option<String> {
    let host = &outcome.plan.target.host;
    let bless = format!("`cargo xtask deploy {host:#} --bless` keeps the new system, if it is good");
    let update_firmware = format!("run `sudo update-firmware` on {host}, then deploy again with `--reboot`");
    match outcome.verdict {
        Verdict::RolledBackAcrossReboot if is_still_pending(&outcome.after, outcome.desired()) => {
            Some(update_firmware)
        }
        Verdict::RolledBackAcrossReboot => Some(format!(
            "mend the configuration, then deploy again; `journalctl -b -1` on {host} may know more"
        )),
        Verdict::NotBlessed => Some(bless),
        Verdict::Unchecked if is_on_trial(&outcome.after) => Some(bless),
        Verdict::NotTried
            if outcome.reason.as_deref().is_some_and(|reason| reason.contains("update-firmware")) =>
        {
            Some(update_firmware)
        }
        Verdict::NotTried => Some(format!("mend that on {host}, then deploy again with `--reboot`")),
        Verdict::NeverCameBack => Some(format!(
            "switch {host} off and on, {}then run `cargo xtask status {host:#}`; if it stays away, put its card into this \
             machine and run `cargo xtask card inspect DEVICE`",
            blessed_start_clause(&outcome.after)
        )),
        _ => None,
    }
}

/// The remark that the next boot tries the new system, with what tries it now; `None` if the host already
/// runs all of it, or if the next boot tries nothing.
pub fn next_boot_remark(outcome: &Outcome) -> Option<String> {
    let host = &outcome.plan.target.host;
    let runs_desired =
        matches!(outcome.verdict, Verdict::Done | Verdict::RebootNeeded | Verdict::AlreadyCurrent);
    let is_tried_next = runs_desired && outcome.after.reboot_needed && super::next_boot_is_trial(outcome);
    is_tried_next.then(|| {
        format!(
            "the next boot of {host} tries the new system{}; a deploy of this system with `--reboot` tries it now, and \
             blesses it if it passes all checks",
            keep_clause(&outcome.after)
        )
    })
}

/// Whether the booted system is on trial.
fn is_on_trial(state: &State) -> bool {
    state.trial.status().is_some_and(|status| status.on_trial.is_some())
}

/// Whether `desired` still waits for its trial: the last boot did not try it.
fn is_still_pending(state: &State, desired: &StorePath) -> bool {
    state.trial.status().is_some_and(|status| status.pending.as_ref() == Some(desired))
}

/// The condition on which the host keeps the system that its next boot tries, as the end of a sentence; empty if the
/// host does not report it.
fn keep_clause(state: &State) -> String {
    let Some(status) = state.trial.status() else { return String::new() };
    match status.by {
        Some(Blesser::Host) => ", and keeps it if its own checks pass".into(),
        Some(Blesser::Deployer) if status.within == 0 => {
            ", and keeps it if `deploy --bless` follows in time".into()
        }
        Some(Blesser::Deployer) => {
            format!(", and keeps it if `deploy --bless` follows within {} s", status.within)
        }
        None => String::new(),
    }
}

/// When a host on trial goes back, as the end of a sentence; empty if the host does not report it.
fn deadline_clause(state: &State) -> String {
    let seconds = state.trial.status().map_or(0, |status| status.within);
    if seconds == 0 { String::new() } else { format!(" {seconds} s after its start") }
}

/// Why the host went back from `desired`, or how far its trial had come.
pub fn rollback_reason(state: &State, desired: &StorePath) -> String {
    if is_still_pending(state, desired) {
        return "U-Boot did not try it, as boot.scr on FIRMWARE did not run".into();
    }
    let rollback = state.trial.status().and_then(|status| status.rollback());
    match rollback.filter(|rollback| rollback.system.as_ref() == Some(desired)) {
        Some(rollback) => rollback.reason_text(),
        None => "the host has recorded no reason".into(),
    }
}

/// The system that a host starts after it was switched off and on, as a clause of the hint; empty if the host does not
/// report its blessed system.
fn blessed_start_clause(state: &State) -> String {
    let blessed = state.trial.status().and_then(|status| status.blessed.as_ref());
    blessed.map(|system| format!("which starts {system} if the new system was tried, ")).unwrap_or_default()
}
