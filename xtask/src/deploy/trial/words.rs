//! Trials in the words of `status`, some of which `deploy` uses too.

use crate::base::HostName;
use crate::deploy::boot_check;
use crate::deploy::host::{Blesser, LastTrial, Trial, TrialStatus};
use crate::nix::StorePath;

/// The cell of the column `TRIAL`; `None` for a host without trials.
pub fn table_cell(trial: &Trial) -> Option<&'static str> {
    match trial {
        Trial::Absent => None,
        Trial::Unreadable { .. } => Some("unknown"),
        Trial::Known(status) => Some(status_cell(status)),
    }
}

/// The word for the most urgent fact of `status`.
fn status_cell(status: &TrialStatus) -> &'static str {
    match status {
        TrialStatus { on_trial: Some(_), .. } => "on trial",
        TrialStatus { pending: Some(_), .. } => "pending",
        TrialStatus { missing: Some(_), .. } => "not possible",
        status if status.rollback().is_some() => "rolled back",
        TrialStatus { blessed: Some(blessed), booted: Some(booted), .. } if blessed == booted => "blessed",
        _ => "-",
    }
}

/// The lines that the command `status` prints below its table about the trials of `host`.
pub fn remarks(host: &HostName, trial: &Trial) -> Vec<String> {
    match trial {
        Trial::Absent => Vec::new(),
        Trial::Unreadable { error } => vec![unreadable_trial_text(host, error)],
        Trial::Known(status) => status_remarks(host, status),
    }
}

/// The message for a host whose trials cannot be read because of `error`.
pub fn unreadable_trial_text(host: &HostName, error: &str) -> String {
    format!("the trial of {host} is unknown: `boot-trial status` on {host} failed: {error}")
}

fn status_remarks(host: &HostName, status: &TrialStatus) -> Vec<String> {
    let missing = status.missing.as_ref().map(|reason| no_trial_warning(host, reason));
    let on_trial = status.on_trial.as_ref().map(|system| on_trial_remark(host, system, status));
    let pending = status.pending.as_ref().map(|system| pending_remark(host, system, status));
    let rollback = status.rollback().map(|last| rollback_remark(host, last));
    [missing, on_trial, pending, rollback].into_iter().flatten().collect()
}

/// The warning for a host that cannot try a new system, for the `reason` that the host gives.
pub fn no_trial_warning(host: &HostName, reason: &str) -> String {
    format!("{host} boots new systems without a trial: {reason}; {}", boot_check::trial_remedy(host, reason))
}

/// The remark that `system` is on trial, and what ends the trial.
fn on_trial_remark(host: &HostName, system: &StorePath, status: &TrialStatus) -> String {
    let blesser = match status.by {
        Some(Blesser::Host) => "its own checks bless it",
        _ => "a deployer blesses it",
    };
    let limit = match status.within {
        0 => "in time".to_owned(),
        seconds => format!("within {seconds} s of its start"),
    };
    format!("{system} is on trial on {host}: {host} goes back unless {blesser} {limit}")
}

/// The remark that the next boot tries `system`, and what decides whether the host keeps it.
fn pending_remark(host: &HostName, system: &StorePath, status: &TrialStatus) -> String {
    let condition = match status.by {
        Some(Blesser::Host) => "its own checks pass",
        _ => "a deployer blesses it in time",
    };
    format!("the next boot of {host} tries {system}, and keeps it if {condition}")
}

/// The remark that the host went back from the system of the trial `last`, and why.
fn rollback_remark(host: &HostName, last: &LastTrial) -> String {
    let system = last.system.as_ref().map_or("a system", StorePath::as_str);
    format!("{host} rolled back across a reboot: it tried {system} and went back: {}", last.reason_text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::host::TrialOutcome;
    use crate::deploy::verdict::tests::store;

    /// The status of a host that has booted its blessed system, changed by `change`.
    fn status(change: impl FnOnce(&mut TrialStatus)) -> TrialStatus {
        let mut status = TrialStatus {
            booted: Some(store("old")),
            blessed: Some(store("old")),
            by: Some(Blesser::Host),
            within: 600,
            ..TrialStatus::default()
        };
        change(&mut status);
        status
    }

    fn rollback(reason: Option<&str>) -> LastTrial {
        let reason = reason.map(str::to_owned);
        let marks = vec!["begun".to_owned()];
        LastTrial { system: Some(store("bad")), outcome: TrialOutcome::RolledBack, reason, marks }
    }

    #[test]
    fn status_has_a_word_and_a_remark_for_each_trial() {
        for (status, word, remark) in [
            (status(|_| {}), "blessed", ""),
            (status(|it| it.blessed = Some(store("other"))), "-", ""),
            (
                status(|it| it.pending = Some(store("new"))),
                "pending",
                "the next boot of stinky tries NEW, and keeps it if its own checks pass",
            ),
            (
                status(|it| (it.on_trial, it.by) = (Some(store("new")), Some(Blesser::Deployer))),
                "on trial",
                "NEW is on trial on stinky: stinky goes back unless a deployer blesses it within 600 s of its start",
            ),
            (
                status(|it| (it.on_trial, it.within) = (Some(store("new")), 0)),
                "on trial",
                "NEW is on trial on stinky: stinky goes back unless its own checks bless it in time",
            ),
            (
                status(|it| it.missing = Some("no boot.scr".into())),
                "not possible",
                "stinky boots new systems without a trial: no boot.scr; run `sudo update-firmware` on stinky",
            ),
            (
                status(|it| it.last = Some(rollback(Some("the check a failed")))),
                "rolled back",
                "stinky rolled back across a reboot: it tried BAD and went back: the check a failed",
            ),
        ] {
            let trial = Trial::Known(Box::new(status));
            assert_eq!(table_cell(&trial), Some(word));
            let [new, bad] = ["new", "bad"].map(|name| store(name).to_string());
            let remark = remark.replace("NEW", &new).replace("BAD", &bad);
            assert_eq!(remarks(&"stinky".into(), &trial).join("\n"), remark);
        }
    }

    #[test]
    fn a_host_without_trials_has_no_cell_and_no_remark() {
        assert_eq!((table_cell(&Trial::Absent), remarks(&"a".into(), &Trial::Absent)), (None, Vec::new()));
    }

    #[test]
    fn a_trial_that_cannot_be_read_is_unknown() {
        let trial = Trial::Unreadable { error: "it gives no answer".into() };
        let remark = "the trial of a is unknown: `boot-trial status` on a failed: it gives no answer";
        assert_eq!(table_cell(&trial), Some("unknown"));
        assert_eq!(remarks(&"a".into(), &trial), [remark]);
    }
}
