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
fn the_fields_of_a_status_are_read() {
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
    let on_trial = read_status(&format!("trial={NEW}\nby=deployer"));
    assert_eq!((on_trial.on_trial, on_trial.by), (path(NEW), Some(Blesser::Deployer)));
}

#[test]
fn the_next_boot_starts_a_pending_system_or_else_the_blessed_one() {
    let pending = read_status(&format!("booted={OLD}\nblessed={OLD}\npending={NEW}"));
    assert_eq!(pending.next_boot(), path(NEW).as_ref());
    let on_trial = read_status(&format!("booted={NEW}\nblessed={OLD}\ntrial={NEW}"));
    assert_eq!(on_trial.next_boot(), path(OLD).as_ref());
}

#[test]
fn a_system_on_trial_is_healthy_once_it_has_that_mark() {
    let status = format!("trial={NEW}\nmarks=begun sshd.service");
    assert!(!read_status(&status).is_healthy() && read_status(&format!("{status} healthy")).is_healthy());
}

#[test]
fn a_blessed_trial_is_no_rollback() {
    assert_eq!(read_status("last-outcome=blessed").rollback(), None);
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
