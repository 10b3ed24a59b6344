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
        Verdict::RolledBack => format!(
            "mend the configuration, then deploy again; {log} has all lines of deploy-rs, and `journalctl -b` on {host} \
             may know more"
        ),
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
        Verdict::Mismatch => {
            format!(
                "deploy again; {log} has all lines of deploy-rs, and `journalctl -b` on {host} may know more"
            )
        }
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

    #[test]
    fn failed_units_are_shown_by_a_command_that_reaches_the_host() {
        let mut target = plan().target;
        target.connection.options = ["-p", "2222", "-i", "a key"].map(str::to_owned).to_vec();
        let expected = "ssh -p 2222 -i 'a key' root@pi systemctl status --failed";
        assert_eq!(failed_units_command(&target), expected);
    }
}
