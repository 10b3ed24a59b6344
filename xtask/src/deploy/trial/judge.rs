//! The progress of a reboot on trial, and its verdict, by what the host answers.

use crate::deploy::host::{State, Trial};
use crate::deploy::target::Target;
use crate::deploy::verdict::{Verdict, judge_after_reboot};
use crate::nix::StorePath;

/// How far a reboot that tries a system has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The system is on trial, and its own checks have not passed yet.
    Booting,
    /// The system is on trial, and has passed the checks of the host.
    Healthy,
    /// The system is blessed, and the trial is over.
    Blessed,
    /// The host runs another system, and has not recorded yet how the trial ended.
    Returning,
    /// The host runs another system, and the trial is over.
    Returned,
    /// The host does not report its trials.
    Unknown,
}

/// The progress of the trial of `desired`.
pub fn progress(desired: &StorePath, trial: &Trial) -> Progress {
    let is_desired = |path: &Option<StorePath>| path.as_ref() == Some(desired);
    match trial {
        Trial::Known(status) if is_desired(&status.on_trial) && status.is_healthy() => Progress::Healthy,
        Trial::Known(status) if is_desired(&status.on_trial) => Progress::Booting,
        Trial::Known(status) if is_desired(&status.blessed) => Progress::Blessed,
        Trial::Known(status) if is_desired(&status.pending) => Progress::Returning,
        Trial::Known(_) => Progress::Returned,
        Trial::Absent | Trial::Unreadable { .. } => Progress::Unknown,
    }
}

/// The verdict of a host that was rebooted to try `desired`, from three states of the host: `before` the deploy,
/// `armed` (right before the reboot), and `after` the reboot.
pub fn judge(target: &Target, desired: &StorePath, before: &State, armed: &State, after: &State) -> Verdict {
    let blessed_before = armed.trial.status().and_then(|status| status.blessed.as_ref());
    let booted = booted_system(after);
    let is_back = booted.is_some() && booted == blessed_before;
    match progress(desired, &after.trial) {
        Progress::Blessed => judge_after_reboot(target, before, after),
        Progress::Booting | Progress::Healthy => Verdict::NotBlessed,
        Progress::Unknown if after.booted.as_ref() == Some(desired) => Verdict::NotBlessed,
        _ if is_back => Verdict::RolledBackAcrossReboot,
        _ => Verdict::Mismatch,
    }
}

/// The system that the host has booted: by the parameters of its kernel, or else by `/run/booted-system`.
pub fn booted_system(state: &State) -> Option<&StorePath> {
    let by_kernel = state.trial.status().and_then(|status| status.booted.as_ref());
    by_kernel.or(state.booted.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::host::TrialStatus;
    use crate::deploy::verdict::tests::{state, store, target};

    fn trial(booted: &str, blessed: &str, on_trial: &str, pending: &str, marks: &str) -> Trial {
        let path = |name: &str| (!name.is_empty()).then(|| store(name));
        Trial::Known(Box::new(TrialStatus {
            booted: path(booted),
            blessed: path(blessed),
            on_trial: path(on_trial),
            pending: path(pending),
            marks: marks.split_whitespace().map(str::to_owned).collect(),
            ..TrialStatus::default()
        }))
    }

    #[test]
    fn a_trial_is_judged_by_the_systems_and_the_marks_of_the_host() {
        let unreadable = Trial::Unreadable { error: String::new() };
        // The trial has the systems: booted, blessed, on trial, pending; and the marks.
        for (trial_after, system_after, expected, verdict) in [
            (trial("new", "old", "new", "", "begun"), "new", Progress::Booting, Verdict::NotBlessed),
            (trial("new", "old", "new", "", "begun healthy"), "new", Progress::Healthy, Verdict::NotBlessed),
            (trial("new", "new", "", "", ""), "new", Progress::Blessed, Verdict::Done),
            (trial("new", "new", "", "", ""), "old", Progress::Blessed, Verdict::Mismatch),
            (trial("old", "old", "", "new", ""), "old", Progress::Returning, Verdict::RolledBackAcrossReboot),
            (trial("old", "old", "", "", ""), "old", Progress::Returned, Verdict::RolledBackAcrossReboot),
            (trial("other", "old", "", "", ""), "other", Progress::Returned, Verdict::Mismatch),
            (trial("", "", "", "", ""), "other", Progress::Returned, Verdict::Mismatch),
            (unreadable, "new", Progress::Unknown, Verdict::NotBlessed),
            (Trial::Absent, "old", Progress::Unknown, Verdict::RolledBackAcrossReboot),
            (Trial::Absent, "other", Progress::Unknown, Verdict::Mismatch),
        ] {
            assert_eq!(progress(&store("new"), &trial_after), expected, "{trial_after:?}");
            let armed = State { trial: trial("old", "old", "", "new", ""), ..State::default() };
            let booted = Some(store(system_after));
            let after = State { trial: trial_after, booted, ..state("profile", Some(system_after)) };
            let found = judge(&target(Some("new")), &store("new"), &State::default(), &armed, &after);
            assert_eq!(found, verdict, "{after:?}");
        }
    }
}
