//! The remedies of verdicts that are failures.

use super::outcome::Outcome;
use super::target::Target;
use super::trial;
use super::verdict::Verdict;

/// The remedy for the verdict of `outcome`; `None` for a success, and for a deploy that the user stopped before it
/// changed anything.
pub fn hint(outcome: &Outcome) -> Option<String> {
    let target = &outcome.plan.target;
    let host = &target.host;
    let look = format!("`{}` shows", failed_units_command(target));
    let log = format!("`cargo xtask log {host:#}`");
    let go_back = format!("`cargo xtask rollback {host:#}`");
    Some(match outcome.verdict {
        Verdict::RolledBack if outcome.needs_boot_goal() => "deploy again with `--boot --reboot`".into(),
        Verdict::RolledBack if outcome.is_stopped() => {
            format!("deploy again: {host} went back because the run was stopped")
        }
        Verdict::RolledBack => {
            format!("mend the configuration, then deploy again; {}", where_to_look(target))
        }
        Verdict::UnitsFailed => {
            format!("{look} why; mend the configuration and deploy again, or run {go_back}")
        }
        Verdict::Degraded => {
            format!(
                "{look} why; they had failed before this deploy, so mend the configuration or {host} itself"
            )
        }
        Verdict::Unhealthy => format!("mend the configuration and deploy again, or run {go_back}"),
        Verdict::Mismatch if outcome.other_wrapped_system().is_some() => {
            format!("let {} wrap {}, then deploy again", target.profile_name(), target.system_name())
        }
        Verdict::Mismatch if outcome.has_kept_profile() => kept_profile_hint(outcome),
        Verdict::Mismatch => format!(
            "deploy again, unless somebody else has changed {host} meanwhile; {}",
            where_to_look(target)
        ),
        Verdict::NotActivated | Verdict::Undecided => {
            format!("{log} has all lines of deploy-rs: mend what they name, then deploy again")
        }
        Verdict::NotCopied => match outcome.copy_failed.as_ref().and_then(|reason| reason.hint.clone()) {
            Some(hint) => hint,
            None => "deploy again: paths that arrived are not copied twice".into(),
        },
        _ => return trial::hint(outcome),
    })
}

/// The remedy where an activation failed and the host has kept the new profile: the same deploy would fail again.
fn kept_profile_hint(outcome: &Outcome) -> String {
    let target = &outcome.plan.target;
    let host = &target.host;
    let why = if target.goes_back.after_failure {
        format!("{host} has not gone back")
    } else {
        format!("{host} does not go back, as autoRollback is off")
    };
    let units = match outcome.after.known_failed_units() {
        [] => String::new(),
        _ => format!(
            "; units have failed, {}: `{}` shows why",
            outcome.after.failed_units_text(),
            failed_units_command(target)
        ),
    };
    format!(
        "mend the configuration, then deploy again: {why}, and its next boot starts the new system; {}{units}",
        where_to_look(target)
    )
}

/// Where the reason of a failed activation is.
fn where_to_look(target: &Target) -> String {
    let host = &target.host;
    let ssh = target.connection.ssh_words();
    format!(
        "`cargo xtask log {host:#}` has all lines of deploy-rs, and `ssh {ssh} journalctl -b -n 100` may know more"
    )
}

/// The command that shows the failed units of the host with their last lines.
pub fn failed_units_command(target: &Target) -> String {
    format!("ssh {} systemctl status --failed", target.connection.ssh_words())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::deploy::activation::DeployExit;
    use crate::deploy::host::State;
    use crate::deploy::plan::tests::plan;
    use crate::deploy::verdict::tests::state;

    /// The hint for a `verdict` after deploy-rs exited with `code`.
    fn hint_after(verdict: Verdict, code: i32) -> Option<String> {
        let exit = DeployExit { code, activated: true, needs_reboot: false };
        let outcome = Outcome { deploy_rs: Some(exit), ..Outcome::new(plan(), State::default(), verdict) };
        hint(&outcome)
    }

    #[test]
    fn each_failure_has_a_remedy_unless_the_user_stopped_it() {
        let without = [Verdict::Stopped, Verdict::Unchecked];
        for verdict in Verdict::value_variants() {
            let is_failure = verdict.failure().is_some();
            let expected = is_failure && !without.contains(verdict);
            assert_eq!(hint_after(*verdict, 1).is_some(), expected, "{verdict:?}");
        }
    }

    #[test]
    fn a_rollback_after_a_stop_needs_no_other_configuration() {
        for (code, expected) in [(130, "deploy again: stinky went back"), (1, "mend the"), (0, "mend the")] {
            let hint = hint_after(Verdict::RolledBack, code).unwrap();
            assert!(hint.starts_with(expected), "{code}: {hint}");
        }
    }

    /// The same deploy would fail in the same way.
    #[test]
    fn an_activation_that_nothing_takes_back_is_to_be_mended() {
        for (auto_rollback, failed, expected) in [
            (
                false,
                None,
                "stinky does not go back, as autoRollback is off, and its next boot starts the new",
            ),
            (true, None, "deploy again: stinky has not gone back, and its next boot starts the new"),
            (
                false,
                Some("a.service"),
                "`ssh root@pi journalctl -b -n 100` may know more; units have failed, a.service:",
            ),
        ] {
            let exit = DeployExit { code: 1, activated: true, needs_reboot: false };
            let mut plan = plan();
            plan.target.goes_back.after_failure = auto_rollback;
            let failed_units = failed.map(|unit| vec![unit.to_owned()]);
            let after = State { failed_units, ..state("profile", Some("old")) };
            let outcome = Outcome { deploy_rs: Some(exit), ..Outcome::new(plan, after, Verdict::Mismatch) };
            let hint = hint(&outcome).unwrap();
            assert!(hint.starts_with("mend the configuration, then ") && hint.contains(expected), "{hint}");
        }
        assert!(hint_after(Verdict::Mismatch, 1).unwrap().starts_with("deploy again, unless somebody else "));
    }

    #[test]
    fn failed_units_are_shown_by_a_command_that_reaches_the_host() {
        let mut target = plan().target;
        target.connection.options = ["-p", "2222", "-i", "a key"].map(str::to_owned).to_vec();
        let expected = "ssh -p 2222 -i 'a key' root@pi systemctl status --failed";
        assert_eq!(failed_units_command(&target), expected);
    }
}
