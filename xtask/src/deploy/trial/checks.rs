//! The checks of a host's trials before a deploy.

use anyhow::Result;

use super::words;
use crate::bail;
use crate::base::Context;
use crate::deploy::boot_check;
use crate::deploy::host::{State, Trial};
use crate::deploy::options::{DeployOptions, Goal};
use crate::deploy::plan::Plan;
use crate::deploy::target::Target;

/// Refuses a host on which a system is on trial: a deploy would replace what the trial decides about.
pub fn check_not_on_trial(target: &Target, state: &State) -> Result<()> {
    let host = &target.host;
    let Some(status) = state.trial.status() else { return Ok(()) };
    let Some(system) = &status.on_trial else { return Ok(()) };
    let latest = match status.within {
        0 => String::new(),
        seconds => format!(", {seconds} s after its start at the latest"),
    };
    bail!(
        Refused, "nothing was deployed: {system} is on trial on {host}";
        hint: "run `cargo xtask deploy {host:#} --bless` to keep it, or wait until {host} has kept it or gone \
               back{latest}"
    );
}

/// Refuses a plan about the next boot if the host has trials, but cannot try the new system. Warns instead with
/// `--keep-firmware`, and of trials that cannot be read if the plan does not reboot the host.
///
/// # Errors
/// `Refused` if the host cannot try the system, or if the plan reboots a host whose trials cannot be read.
pub fn check_can_try(cx: &Context, options: &DeployOptions, plan: &Plan) -> Result<()> {
    let boots_new_system = plan.will_reboot() || options.goal == Goal::Boot;
    if !boots_new_system {
        return Ok(());
    }
    let host = &plan.target.host;
    match &plan.before.trial {
        Trial::Unreadable { error } if plan.will_reboot() => bail!(
            Refused, "{}", words::unreadable_trial_text(host, error);
            hint: "run `sudo boot-trial status` on {host}, or deploy without `--reboot`"
        ),
        Trial::Unreadable { error } => cx.warn(words::unreadable_trial_text(host, error)),
        Trial::Known(status) => match &status.missing {
            Some(reason) if options.keep_firmware => cx.warn(words::no_trial_warning(host, reason)),
            Some(reason) => bail!(
                Refused, "{}", boot_check::cannot_try_message(host, reason); hint: "{}",
                boot_check::cannot_try_hint(host, reason)
            ),
            None => {}
        },
        Trial::Absent => {}
    }
    Ok(())
}

/// The note of a plan about the boot of the new system; `None` if the host has trials, but cannot try the system or
/// does not report them.
pub fn next_boot_note(target: &Target, state: &State) -> Option<String> {
    let host = &target.host;
    match &state.trial {
        Trial::Absent => Some(format!(
            "{host} has no trials: if the new system does not boot, {host} stays down until somebody repairs it"
        )),
        Trial::Known(status) if status.missing.is_none() => Some(format!(
            "{host} tries the new system once, and goes back by itself unless that system is blessed"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure;
    use crate::deploy::host::TrialStatus;
    use crate::deploy::verdict::tests::{store, target};

    fn state(status: TrialStatus) -> State {
        State { trial: Trial::Known(Box::new(status)), ..State::default() }
    }

    #[test]
    fn only_a_host_on_trial_is_refused() {
        for (within, end) in [(0, ""), (600, ", 600 s after its start at the latest")] {
            let on_trial =
                state(TrialStatus { on_trial: Some(store("new")), within, ..TrialStatus::default() });
            let error = check_not_on_trial(&target(None), &on_trial).unwrap_err();
            assert_eq!(failure::kind(&error), failure::ExitKind::Refused);
            let expected = format!(
                "run `cargo xtask deploy stinky --bless` to keep it, or wait until stinky has kept it or gone back{end}"
            );
            assert_eq!(failure::hint(&error), Some(&*expected));
        }
        let pending = state(TrialStatus { pending: Some(store("new")), ..TrialStatus::default() });
        for state in [pending, State::default()] {
            check_not_on_trial(&target(None), &state).unwrap();
        }
    }

    #[test]
    fn the_plan_notes_what_happens_if_the_new_system_does_not_boot() {
        let missing = TrialStatus { missing: Some("x".into()), ..TrialStatus::default() };
        for (state, expected) in [
            (
                State::default(),
                Some(
                    "stinky has no trials: if the new system does not boot, stinky stays down until somebody repairs it",
                ),
            ),
            (
                state(TrialStatus::default()),
                Some(
                    "stinky tries the new system once, and goes back by itself unless that system is blessed",
                ),
            ),
            (state(missing), None),
        ] {
            assert_eq!(next_boot_note(&target(None), &state).as_deref(), expected);
        }
    }
}
