//! Tests of reading the answers of `boot-trial status`.

use super::query::Answer;
use super::trial::{
    Blesser, LastTrial, MAX_LINES, MAX_MARK_CHARS, MAX_MARKS, MAX_WITHIN, Trial, TrialOutcome, TrialStatus,
};
use crate::nix::StorePath;

const OLD: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-old";
const NEW: &str = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-new";

/// The trials of a host that answers `status`.
fn read(status: &str) -> Trial {
    Trial::read(&Answer::of(&[
        ("trial", status),
        ("trial-command", "/run/current-system/sw/bin/boot-trial\n"),
    ]))
}

/// The status of a host that answers `lines` after the version.
fn read_status(lines: &str) -> TrialStatus {
    read(&format!("version=1\n{lines}")).status().cloned().unwrap()
}

fn path(text: &str) -> Option<StorePath> {
    StorePath::containing(text)
}

#[test]
fn the_next_boot_starts_a_pending_system() {
    let found = read_status(&format!(
        "missing=\nbooted={OLD}\nblessed={OLD}\npending={NEW}\nby=self\nwithin=600\nmarks=\n\
         last-system={OLD}\nlast-outcome=blessed\nlast-reason=\nlast-marks=begun healthy\n"
    ));
    let last = LastTrial {
        system: path(OLD),
        outcome: TrialOutcome::Blessed,
        reason: None,
        marks: ["begun", "healthy"].map(str::to_owned).to_vec(),
    };
    let expected = TrialStatus {
        booted: path(OLD),
        blessed: path(OLD),
        pending: path(NEW),
        by: Some(Blesser::Host),
        within: 600,
        last: Some(last),
        ..TrialStatus::default()
    };
    assert_eq!(found, expected);
    assert_eq!((found.next_boot(), found.rollback()), (path(NEW).as_ref(), None));
}

#[test]
fn the_next_boot_after_a_trial_starts_the_blessed_system() {
    let status = format!("booted={NEW}\nblessed={OLD}\ntrial={NEW}\nby=deployer\nmarks=begun sshd.service");
    let booting = read_status(&status);
    assert_eq!((booting.on_trial.as_ref(), booting.by), (path(NEW).as_ref(), Some(Blesser::Deployer)));
    assert!(!booting.is_healthy() && read_status(&format!("{status} healthy")).is_healthy());
    assert_eq!(booting.next_boot(), path(OLD).as_ref());
}

#[test]
fn a_rollback_has_the_noted_reason_or_the_last_mark() {
    for (fields, expected) in [
        ("last-reason=the check octoprint failed\nlast-marks=begun", "the check octoprint failed"),
        (
            "last-marks=begun network.target",
            "the host recorded no reason; its boot reached the mark `network.target`",
        ),
        ("", "the host recorded no reason; its boot reached no mark, so not even the first unit ran"),
    ] {
        let status = read_status(&format!("last-outcome=rolled-back\n{fields}"));
        assert_eq!(status.rollback().unwrap().reason_text(), expected);
    }
}

#[test]
fn unreadable_answers_are_reported_and_unreadable_fields_left_out() {
    let unreadable = |error: &str| Trial::Unreadable { error: error.into() };
    for (status, expected) in [
        ("", unreadable("it gives no answer")),
        ("Segmentation fault", unreadable("it gives no answer")),
        ("version=2\nbooted=x", unreadable("its answer has version 2, not 1")),
    ] {
        assert_eq!(read(status), expected, "{status}");
    }
    assert_eq!(Trial::read(&Answer::default()), Trial::Absent);
    for status in ["booted=/etc", "booted=/nix/store/x", &format!("booted={NEW}/init"), "within=x", "by=me"] {
        assert_eq!(read_status(status), TrialStatus::default(), "{status}");
    }
}

#[test]
fn answers_are_cut() {
    let long = "x".repeat(1 << 20);
    let marks = format!("{long} ").repeat(3) + &"y ".repeat(1000);
    let found = read_status(&format!("missing={long}\nmarks={marks}\nwithin=18446744073709551615\n"));
    assert!(found.missing.unwrap().len() < 600);
    assert_eq!((found.marks.len(), found.marks[0].len()), (MAX_MARKS, MAX_MARK_CHARS));
    assert_eq!(found.within, MAX_WITHIN);
    assert_eq!(read_status(&format!("{}by=self", "x=y\n".repeat(MAX_LINES))).by, None);
}

#[test]
fn the_json_of_a_trial_is_null_or_an_error_or_its_fields() {
    let json = |trial: &Trial| serde_json::to_value(trial).unwrap();
    assert_eq!(json(&Trial::Absent), serde_json::Value::Null);
    assert_eq!(json(&read(""))["error"], "it gives no answer");
    assert_eq!(json(&read(&format!("version=1\npending={NEW}\nby=self")))["by"], "self");
}

#[test]
fn fuzz() {
    let status = format!(
        "version=1\nmissing=\nbooted={OLD}\nblessed={OLD}\ntrial={NEW}\nby=deployer\nwithin=600\n\
         marks=begun healthy\nlast-system={NEW}\nlast-outcome=rolled-back\nlast-reason=x\nlast-marks=begun\n"
    );
    crate::base::fuzz::check_text(&[&status], |text| {
        let trial = read(text);
        let reason = trial.status().and_then(TrialStatus::rollback).map(LastTrial::reason_text);
        assert!(reason.is_none_or(|reason| reason.len() < 4096), "too long");
    });
}
