//! The commands of `boot-trial` that change a host.

use std::time::Duration;

use anyhow::Result;

use super::excerpt::tail;
use super::ssh::Remote;
use super::trial::Blesser;
use super::wait::poll;
use crate::base::failure::{ExitKind, kind};
use crate::base::shell;
use crate::deploy::target::Target;
use crate::failure;

/// The longest reason that is passed to a host, in characters.
const MAX_REASON: usize = 200;

/// The prefix of the trial's own units, which run until the trial ends.
const UNIT_PREFIX: &str = "boot-trial-";

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

/// Waits until the host's own checks of a trial have passed, or the trial has ended, for `limit` at most. One command waits
/// on the host: many probes would slow down its boot. A host whose `boot-trial` cannot wait returns at once.
///
/// # Errors
/// `Interrupted` if the user stops it, `Unreachable` if the link is lost.
pub fn wait_for_checks(remote: &Remote, target: &Target, limit: Duration) -> Result<()> {
    match run(remote, target, &format!("wait {}", limit.as_secs())) {
        Err(error) if kind(&error) == ExitKind::Undecided => Ok(()),
        ended => ended,
    }
}

/// Waits until no job of the boot runs any more, for `limit` at most. Jobs of the trial itself do not count: they run
/// until the trial ends.
///
/// # Errors
/// `Interrupted` if the user stops it.
pub fn wait_for_boot_jobs(remote: &Remote, target: &Target, limit: Duration) -> Result<()> {
    let jobs = || remote.try_run("systemctl list-jobs --no-legend --plain").map(|output| output.stdout);
    let not_ready = |jobs: &String| has_running_job(jobs).then(|| failure!(Undecided, "jobs are running"));
    match poll(target, limit, || {}, jobs, not_ready) {
        Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Whether one of `jobs`, the output of `systemctl list-jobs`, is running and not of the trial itself. Jobs that wait
/// do not count: they wait for a running one.
fn has_running_job(jobs: &str) -> bool {
    jobs.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|words| matches!(words[..], [_, unit, _, "running"] if !unit.starts_with(UNIT_PREFIX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_a_boot() {
        for (jobs, expected) in [
            ("", false),
            ("12 boot-trial-health.service start running\n13 boot-complete.target start waiting\n", false),
            ("12 boot-trial-health.service start running\n14 octoprint.service start running\n", true),
            ("No jobs running.\n", false),
        ] {
            assert_eq!(has_running_job(jobs), expected, "{jobs}");
        }
        crate::base::fuzz::check_text(&["12 boot-trial-health.service start running\n"], has_running_job);
    }
}
