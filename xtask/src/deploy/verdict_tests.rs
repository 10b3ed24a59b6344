//! Tables of verdicts.

use super::activation::DeployExit;
use super::host::{State, Trial, TrialStatus};
use super::options::Goal;
use super::verdict::tests::{state, store, target};
use super::verdict::{Verdict, judge, judge_after_reboot, judge_current, partial_verdict};

#[test]
fn the_state_of_the_host_decides_and_not_the_exit_code() {
    let nixos = target(Some("new"));
    let plain = target(None);
    let old = state("before", Some("old"));
    let new = state("profile", Some("new"));
    let half = state("profile", Some("old"));
    let failing = State { failed_units: Some(vec!["a.service".into()]), ..new.clone() };
    for (target, before, after, exit_code, activated, expected) in [
        (&nixos, &old, &new, 0, true, Verdict::Done),
        (&nixos, &old, &new, 1, true, Verdict::Done),
        (&plain, &old, &new, 0, true, Verdict::Done),
        (&nixos, &old, &failing, 0, true, Verdict::UnitsFailed),
        (&nixos, &old, &old, 0, true, Verdict::RolledBack),
        (&nixos, &old, &old, 1, true, Verdict::RolledBack),
        (&nixos, &old, &old, 1, false, Verdict::NotActivated),
        (&nixos, &old, &old, 130, false, Verdict::Stopped),
        (&nixos, &old, &old, 130, true, Verdict::RolledBack),
        (&nixos, &old, &state("profile", Some("old")), 0, true, Verdict::Mismatch),
        (&plain, &old, &state("profile", Some("old")), 1, true, Verdict::Mismatch),
        (&nixos, &old, &state("other", Some("other")), 0, true, Verdict::Mismatch),
        (&target(Some("another")), &old, &new, 0, true, Verdict::Mismatch),
        // The second deploy of a system that fails, where nothing goes back, finds what the first one has left.
        (&nixos, &half, &half, 1, true, Verdict::Mismatch),
        (&plain, &half, &half, 1, true, Verdict::Mismatch),
        (&nixos, &half, &half, 1, false, Verdict::NotActivated),
        (&nixos, &half, &half, 130, false, Verdict::Stopped),
        (&nixos, &half, &old, 1, true, Verdict::RolledBack),
        (&nixos, &half, &state("before", Some("other")), 1, true, Verdict::Mismatch),
        (&target(Some("another")), &new, &new, 0, true, Verdict::Mismatch),
    ] {
        let exit = DeployExit { code: exit_code, activated, needs_reboot: false };
        let found = judge(target, Goal::Switch, before, after, exit);
        assert_eq!(found, expected, "{after:?}, exit code {exit_code}");
    }
}

#[test]
fn without_a_running_system_the_exit_code_decides() {
    let before = state("before", None);
    let after = state("profile", None);
    for (code, expected) in [(0, Verdict::Done), (1, Verdict::Undecided)] {
        let exit = DeployExit { code, activated: true, needs_reboot: false };
        assert_eq!(judge(&target(None), Goal::Switch, &before, &after, exit), expected);
    }
}

#[test]
fn the_goal_boot_is_reached_by_the_profile_alone() {
    let target = target(Some("new"));
    let old = state("before", Some("old"));
    let set = state("profile", Some("old"));
    for (after, code, expected) in [
        (&set, 0, Verdict::Ready),
        (&set, 1, Verdict::Ready),
        (&old, 0, Verdict::RolledBack),
        (&state("other", Some("old")), 0, Verdict::Mismatch),
        (&state("profile", Some("new")), 0, Verdict::Done),
    ] {
        let exit = DeployExit { code, activated: true, needs_reboot: false };
        assert_eq!(judge(&target, Goal::Boot, &old, after, exit), expected, "{after:?}");
    }
}

#[test]
fn a_reboot_must_start_the_new_system() {
    let target = target(Some("new"));
    let set = state("profile", Some("old"));
    let booted = |path: &str| State { booted: Some(store(path)), ..state("profile", Some("new")) };
    for (after, expected) in
        [(booted("new"), Verdict::Done), (booted("old"), Verdict::Mismatch), (set.clone(), Verdict::Mismatch)]
    {
        assert_eq!(judge_after_reboot(&target, &set, &after), expected, "{after:?}");
    }
}

/// The state of a host on which these units have failed.
fn failed(units: &str, reboot_needed: bool) -> State {
    State {
        failed_units: Some(units.split_whitespace().map(str::to_owned).collect()),
        reboot_needed,
        ..State::default()
    }
}

#[test]
fn failed_units_outweigh_a_pending_reboot() {
    for (before, after, expected) in [
        (failed("", false), failed("", false), None),
        (failed("", false), failed("", true), Some(Verdict::RebootNeeded)),
        (failed("", false), failed("a", true), Some(Verdict::UnitsFailed)),
        (failed("a", false), failed("a b", false), Some(Verdict::UnitsFailed)),
        (failed("a b", false), failed("a", false), Some(Verdict::Degraded)),
        (State::default(), failed("a", false), Some(Verdict::UnitsFailed)),
        (failed("a", false), State::default(), None),
    ] {
        assert_eq!(partial_verdict(&before, &after), expected, "{after:?}");
    }
}

/// Comparing each unit with each would take hours.
#[test]
fn many_failed_units_are_compared_in_a_moment() {
    let many = (0..300_000).map(|number| format!("{number} ")).collect::<String>();
    assert_eq!(partial_verdict(&failed(&many, false), &failed(&many, false)), Some(Verdict::Degraded));
}

#[test]
fn only_a_current_host_needs_nothing() {
    let nixos = target(Some("new"));
    let failing = State { failed_units: Some(vec!["a.service".into()]), ..state("profile", Some("new")) };
    for (state, expected) in [
        (state("profile", Some("new")), Some(Verdict::AlreadyCurrent)),
        (failing, Some(Verdict::Degraded)),
        (state("profile", Some("old")), None),
        (state("profile", None), None),
    ] {
        assert_eq!(judge_current(&nixos, Goal::Switch, &state), expected, "{state:?}");
    }
    let set = state("profile", Some("old"));
    assert_eq!(judge_current(&nixos, Goal::Boot, &set), Some(Verdict::Ready));
}

#[test]
fn the_next_boot_of_a_host_with_trials_counts() {
    let target = target(Some("new"));
    let with = |current: &str, blessed: &str, pending: &str| {
        let path = |name: &str| (!name.is_empty()).then(|| store(name));
        let status = TrialStatus { blessed: path(blessed), pending: path(pending), ..TrialStatus::default() };
        State { trial: Trial::Known(Box::new(status)), ..state("profile", Some(current)) }
    };
    let old = state("before", Some("old"));
    // The state has the systems: current, blessed, pending.
    for (goal, after, verdict_after, verdict_before) in [
        (Goal::Switch, with("new", "new", ""), Verdict::Done, Some(Verdict::AlreadyCurrent)),
        (Goal::Switch, with("new", "old", "new"), Verdict::Done, Some(Verdict::AlreadyCurrent)),
        (Goal::Switch, with("new", "", ""), Verdict::Done, Some(Verdict::AlreadyCurrent)),
        (Goal::Switch, with("new", "old", ""), Verdict::Mismatch, None),
        (Goal::Switch, with("new", "old", "other"), Verdict::Mismatch, None),
        (Goal::Boot, with("old", "old", "new"), Verdict::OnTrial, Some(Verdict::OnTrial)),
        (Goal::Boot, with("old", "new", ""), Verdict::Ready, Some(Verdict::Ready)),
        (Goal::Boot, with("old", "old", ""), Verdict::Mismatch, None),
    ] {
        let exit = DeployExit { code: 0, activated: true, needs_reboot: false };
        assert_eq!(judge(&target, goal, &old, &after, exit), verdict_after, "{after:?}");
        assert_eq!(judge_current(&target, goal, &after), verdict_before, "{after:?}");
    }
}
