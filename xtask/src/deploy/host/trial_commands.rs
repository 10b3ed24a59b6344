//! The commands of `boot-trial` that change a host.

use std::time::Duration;

use anyhow::Result;

use super::excerpt::tail;
use super::probe::{BOOT_TIMEOUT, WAIT_FOR_BOOT, add_queries, root_prefix};
use super::query::{PROBE_TIMEOUT, Query};
use super::ssh::Remote;
use super::state::State;
use super::trial::Blesser;
use crate::base::failure::{ExitKind, kind};
use crate::base::shell;
use crate::deploy::target::Target;
use crate::failure;

/// The longest reason that is passed to a host, in characters.
const MAX_REASON: usize = 200;

/// The part of an answer that says whether the host blessed its system: what `boot-trial` printed, and [`DONE`] at its
/// end.
const BLESSING: &str = "blessing";
const DONE: &str = "done";

/// Lets the next boot try the pending system, which `by` blesses.
pub fn arm(remote: &Remote, target: &Target, by: Blesser) -> Result<()> {
    let by = match by {
        Blesser::Deployer => "deployer",
        Blesser::Host => "self",
    };
    run(remote, target, &format!("arm {by}"))
}

/// Makes the booted system the default of the boot menu.
pub fn bless(remote: &Remote, target: &Target) -> Result<()> {
    run(remote, target, "bless")
}

/// Makes the booted system the default of the boot menu, waits for the end of the boot, as some units start only after the
/// blessing, and reads the state of the host. All over one connection.
///
/// # Errors
/// `Undecided` if the host does not bless its system; `Interrupted`; `Unreachable` if the link is lost.
pub fn bless_and_probe(remote: &Remote, target: &Target) -> Result<State> {
    let mut query = Query::new("blessing the system on trial")?;
    // The boot of a system that is not blessed never ends.
    let bless = format!("{}boot-trial bless 2>&1 && echo {DONE}", root_prefix(target));
    query.add(BLESSING, &format!("{bless} && {WAIT_FOR_BOOT} >/dev/null"));
    add_queries(&mut query, target);
    let answer = remote.query(&query, BOOT_TIMEOUT)?;
    if answer.lines(BLESSING).last() != Some(DONE) {
        let text = answer.lines(BLESSING).collect::<Vec<_>>().join("\n");
        return Err(failure!(Undecided, "{} did not bless its system: {}", target.host, tail(&text)));
    }
    Ok(State::read(&answer))
}

/// Waits on the host until its own checks of a trial have passed and the boot is over, or the trial has ended, for `limit`
/// at most; then reads the state. All over one connection. A host that is not on trial answers at once.
///
/// # Errors
/// `Interrupted`; `Unreachable` if the link is lost.
pub fn probe_after_checks(remote: &Remote, target: &Target, limit: Duration) -> Result<State> {
    let mut query = Query::new("waiting for the checks of the host")?;
    query.add("checks", &format!("{}boot-trial wait {}", root_prefix(target), limit.as_secs()));
    add_queries(&mut query, target);
    Ok(State::read(&remote.query(&query, limit + PROBE_TIMEOUT)?))
}

/// Lets the next boot start the blessed system, and not the pending one.
pub fn abort(remote: &Remote, target: &Target) -> Result<()> {
    run(remote, target, "abort")
}

/// Ends the trial: the host notes `reason`, and reboots into the blessed system. Errors other than `Interrupted` are
/// ignored, as the reboot may end the connection before the answer.
pub fn go_back(remote: &Remote, target: &Target, reason: &str) -> Result<()> {
    let is_plain = |c: char| if c.is_control() { ' ' } else { c };
    let reason = reason.chars().map(is_plain).take(MAX_REASON).collect::<String>();
    match run(remote, target, &format!("go-back {}", shell::quote(reason.trim()))) {
        Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

fn run(remote: &Remote, target: &Target, words: &str) -> Result<()> {
    let sudo = target.sudo.as_ref().map(|sudo| format!("{sudo} ")).unwrap_or_default();
    let output = remote.try_run(&format!("{sudo}boot-trial {words}"))?;
    if output.success() {
        return Ok(());
    }
    let command = words.split(' ').next().unwrap_or_default();
    let text = tail(&output.stderr);
    Err(failure!(Undecided, "`boot-trial {command}` on {} exited with {}: {text}", target.host, output.code))
}
