//! The commands of `boot-trial` that change a host, or wait for its checks.

use std::time::Duration;

use anyhow::Result;

use super::excerpt::tail;
use super::probe::{BOOT_TIMEOUT, WAIT_FOR_BOOT, add_queries, add_system_queries, root_prefix};
use super::query::{PROBE_TIMEOUT, Query};
use super::ssh::{Remote, SSH_FAILED};
use super::state::State;
use super::trial::Blesser;
use super::wait::refused_reboot_error;
use crate::base::failure::{ExitKind, kind};
use crate::base::process::Output;
use crate::base::shell;
use crate::deploy::target::Target;
use crate::{bail, failure};

/// The longest reason that is passed to a host, in characters.
const MAX_REASON: usize = 200;

/// The part of an answer with what `boot-trial bless` printed, and [`DONE`] at its end if it succeeded.
const BLESSING: &str = "blessing";
/// The last line of a blessing that succeeded.
const DONE: &str = "done";

/// The line that a host prints once its trial is armed.
const ARMED: &str = "armed";

/// What became of the request for a reboot on trial.
pub enum TrialReboot {
    /// The host reboots, or it closed the connection before it said so.
    Begun,
    /// The trial is not armed, for this reason, so the host was not told to reboot.
    NotArmed(anyhow::Error),
    /// The trial is armed, but the host refuses to reboot.
    Refused(anyhow::Error),
}

/// Lets the next boot try the pending system, which this tool is to bless, and reboots the host. One command does both,
/// as a second connection takes a slow Pi more than a second.
///
/// # Errors
/// Those of ssh, before the trial is armed.
pub fn arm_and_reboot(remote: &Remote, target: &Target) -> Result<TrialReboot> {
    let sudo = target.sudo_prefix();
    let arm = format!("{sudo}boot-trial arm deployer >/dev/null && echo {ARMED}");
    let output = remote.try_run_until_closed(&format!("{arm} && {sudo}systemctl reboot"))?;
    let is_armed = output.stdout.lines().any(|line| line == ARMED);
    Ok(match output.code {
        // A host that shuts down may close the connection before anything that it printed arrives.
        0 | SSH_FAILED => TrialReboot::Begun,
        _ if !is_armed => TrialReboot::NotArmed(command_error(target, "arm", &output)),
        _ => TrialReboot::Refused(refused_reboot_error(target, &output)),
    })
}

/// Lets the next boot try the pending system, which `blesser` is to bless.
///
/// # Errors
/// `Undecided` if the host refuses.
pub fn arm(remote: &Remote, target: &Target, blesser: Blesser) -> Result<()> {
    let word = match blesser {
        Blesser::Deployer => "deployer",
        Blesser::Host => "self",
    };
    run_boot_trial(remote, target, &format!("arm {word}"))
}

/// Makes the booted system the default of the boot menu.
///
/// # Errors
/// `Undecided` if the host refuses.
pub fn bless(remote: &Remote, target: &Target) -> Result<()> {
    run_boot_trial(remote, target, "bless")
}

/// Makes the booted system the default of the boot menu, waits for the end of the boot, and reads the state of the
/// host, all over one connection. Some units start only after the blessing.
///
/// # Errors
/// `Undecided` if the host does not bless its system; `Interrupted` if the user stops the wait; `Unreachable` if the
/// link is lost.
pub fn bless_and_probe(remote: &Remote, target: &Target) -> Result<State> {
    let mut query = Query::new("the blessing of the system")?;
    // The boot of a system that is not blessed never ends.
    let bless = format!("{}boot-trial bless 2>&1 && echo {DONE}", root_prefix(target));
    query.add(BLESSING, &format!("{bless} && {WAIT_FOR_BOOT} >/dev/null"));
    add_queries(&mut query, target);
    let answer = remote.query(&query, BOOT_TIMEOUT)?;
    if answer.lines(BLESSING).last() != Some(DONE) {
        let text = answer.lines(BLESSING).collect::<Vec<_>>().join("\n");
        bail!(Undecided, "{} did not bless its system: {}", target.host, tail(&text));
    }
    Ok(State::read(&answer))
}

/// Waits, for `limit` at most, until the host has passed its own checks of a trial and its boot is over, or until the
/// trial has ended; then reads the systems of the host and its trial, all over one connection. A host that is not on
/// trial answers at once. The rest of the state is unknown: a slow Pi needs a second to report all of it.
///
/// # Errors
/// `Interrupted` if the user stops the wait; `Unreachable` if the link is lost.
pub fn probe_systems_after_checks(remote: &Remote, target: &Target, limit: Duration) -> Result<State> {
    let mut query = Query::new("the wait for the checks of the trial")?;
    query.add("checks", &format!("{}boot-trial wait {}", root_prefix(target), limit.as_secs()));
    add_system_queries(&mut query, target);
    let state = State::read(&remote.query(&query, limit + PROBE_TIMEOUT)?);
    Ok(State { failed_units: None, ..state })
}

/// Lets the next boot start the blessed system, and not the pending one.
///
/// # Errors
/// `Undecided` if the host refuses.
pub fn abort(remote: &Remote, target: &Target) -> Result<()> {
    run_boot_trial(remote, target, "abort")
}

/// Ends the trial: the host notes `reason`, and reboots into the blessed system. Errors other than `Interrupted` are
/// ignored, as the reboot may end the connection before the answer.
pub fn go_back(remote: &Remote, target: &Target, reason: &str) -> Result<()> {
    let blank_control = |c: char| if c.is_control() { ' ' } else { c };
    let reason = reason.chars().map(blank_control).take(MAX_REASON).collect::<String>();
    match run_boot_trial(remote, target, &format!("go-back {}", shell::quote(reason.trim()))) {
        Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Runs `boot-trial` with the subcommand and the arguments `words`.
///
/// # Errors
/// `Undecided` if the subcommand fails; those of ssh.
fn run_boot_trial(remote: &Remote, target: &Target, words: &str) -> Result<()> {
    let output = remote.try_run(&format!("{}boot-trial {words}", target.sudo_prefix()))?;
    if output.success() {
        return Ok(());
    }
    Err(command_error(target, words.split(' ').next().unwrap_or_default(), &output))
}

/// The error for the `subcommand` of `boot-trial` that failed with `output`.
fn command_error(target: &Target, subcommand: &str, output: &Output) -> anyhow::Error {
    let text = tail(&output.stderr);
    failure!(Undecided, "`boot-trial {subcommand}` on {} exited with {}: {text}", target.host, output.code)
}
