//! Waiting for a host that was just flashed, or that reboots.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::attempts::Attempts;
use super::excerpt::tail;
use super::probe::{probe, probe_after_boot};
use super::ssh::Remote;
use super::state::State;
use crate::base::failure::{ExitKind, kind};
use crate::base::process::Output;
use crate::base::{Event, Reporter, interrupt};
use crate::deploy::target::Target;
use crate::failure;

/// The time from one attempt to the next, and the pause after a probe that found the host not ready.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long [`wait_for_reconnect`] waits.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an attempt waits for sshd while the host boots. TCP repeats the first packet after 1 s and after 3 s, and a
/// slow Pi then needs more than a second for the first line of sshd. The next repetition, after 7 s, would come later
/// than that of a new attempt.
const BOOT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long after the first attempt the attempts have that short timeout. Later ones give a slow sshd the usual
/// time.
const SHORT_ATTEMPTS: Duration = Duration::from_secs(180);

/// Repeats `probe` until the host answers, for `limit` at most, and returns the answer. Reports once what the user
/// should do.
///
/// # Errors
/// `Unreachable` after `limit`, `Interrupted` if the user stops the wait; any other error at once.
pub fn wait_until_reachable<T>(
    target: &Target,
    limit: Duration,
    reporter: &dyn Reporter,
    probe: impl Fn() -> Result<T>,
) -> Result<T> {
    let note = format!(
        "{} does not answer yet at {}: insert its card and power on the host (waiting up to {} min; Ctrl-C stops)",
        target.host,
        target.connection.destination,
        limit.as_secs().div_ceil(60)
    );
    let notify = || reporter.report(&Event::note(&note));
    poll(target, limit, reporter, notify, probe, |_| None)
}

/// Repeats `probe` on a host that may be unreachable for a moment, for [`RECONNECT_TIMEOUT`] at most. Does not
/// wait for the end of an activation: see [`super::wait_for_activation()`].
///
/// # Errors
/// `Unreachable` if the host stays unreachable, `Interrupted` if the user stops the wait; any other error at once.
pub fn wait_for_reconnect(
    target: &Target,
    reporter: &dyn Reporter,
    probe: impl Fn() -> Result<State>,
) -> Result<State> {
    let note = format!("waiting for {} to be reachable again", target.host);
    let notify = || reporter.report(&Event::note(&note));
    poll(target, RECONNECT_TIMEOUT, reporter, notify, probe, |_| None)
}

/// Reboots the host and returns its state after the boot; `before` is its state before.
///
/// # Errors
/// `Unreachable` or `Undecided` if it has not rebooted within `limit`, `Undecided` if it refuses to reboot.
pub fn reboot_and_probe(
    remote: &Remote,
    target: &Target,
    before: &State,
    limit: Duration,
    reporter: &dyn Reporter,
) -> Result<State> {
    let host = &target.host;
    reporter.report(&Event::note(format!("rebooting {host}")));
    request_reboot(remote, target)?;
    let begin = Instant::now();
    let not_rebooted =
        |now: &State| (!has_rebooted(before, now)).then(|| failure!(Undecided, "{host} has not rebooted"));
    poll(target, limit, reporter, || {}, || probe(&with_boot_timeout(remote, begin), target), not_rebooted)?;
    probe_after_boot(remote, target)
}

/// `remote` with the timeout for an attempt to reach a host that boots, as long as attempts are short. `begin` is when
/// the first attempt began.
pub fn with_boot_timeout<'a>(remote: &Remote<'a>, begin: Instant) -> Remote<'a> {
    let remote = remote.clone();
    if begin.elapsed() < SHORT_ATTEMPTS { remote.with_connect_timeout(BOOT_CONNECT_TIMEOUT) } else { remote }
}

/// Tells the host to reboot, and does not wait for the reboot.
///
/// # Errors
/// `Undecided` if the host refuses.
fn request_reboot(remote: &Remote, target: &Target) -> Result<()> {
    match remote.try_run(&format!("{}systemctl reboot", target.sudo_prefix())) {
        Ok(output) if output.success() => Ok(()),
        Ok(output) => Err(refused_reboot_error(target, &output)),
        // The connection may end before the answer arrives.
        Err(error) if kind(&error) == ExitKind::Unreachable => Ok(()),
        Err(error) => Err(error),
    }
}

/// The error for a host that refuses to reboot, and prints `output`.
pub fn refused_reboot_error(target: &Target, output: &Output) -> anyhow::Error {
    let host = &target.host;
    failure!(
        Undecided, "{host} refuses to reboot: {}", tail(&output.stderr);
        hint: "reboot {host} by hand, then run `cargo xtask status {host:#}`"
    )
}

/// Whether the host has rebooted between the states `before` and `now`: its boot ID is another one, or was missing
/// `before`. A host that shuts down may no longer report its ID, so one that is missing `now` is no reboot.
pub fn has_rebooted(before: &State, now: &State) -> bool {
    !now.boot_id.is_empty() && now.boot_id != before.boot_id
}

/// Repeats `probe` while the host is unreachable, or while `not_ready` returns an error, for `limit` at most; then
/// returns what `probe` found. Calls `notify` once, before the first pause, and reports each attempt that failed.
///
/// # Errors
/// The last error of `probe` or `not_ready` after `limit`; `Interrupted` if the user stops the wait; any other error of
/// `probe` at once.
pub fn poll<T>(
    target: &Target,
    limit: Duration,
    reporter: &dyn Reporter,
    notify: impl Fn(),
    probe: impl Fn() -> Result<T>,
    not_ready: impl Fn(&T) -> Option<anyhow::Error>,
) -> Result<T> {
    let begin = Instant::now();
    let signals = interrupt::guard()?;
    let mut is_notified = false;
    let mut attempts = Attempts::new(target);
    loop {
        let attempt = Instant::now();
        let (last_error, pause) = match probe() {
            Ok(found) => match not_ready(&found) {
                Some(error) => (error, POLL_INTERVAL),
                None => return Ok(found),
            },
            // An attempt that timed out was a pause already.
            Err(error) if kind(&error) == ExitKind::Unreachable => {
                (error, POLL_INTERVAL.saturating_sub(attempt.elapsed()))
            }
            Err(error) if kind(&error) == ExitKind::Interrupted => return Err(stopped_error(target)),
            Err(error) => return Err(error),
        };
        if signals.is_stop_requested() {
            return Err(stopped_error(target));
        }
        if begin.elapsed() > limit {
            return Err(last_error.context(format!("waiting {} s for {}", limit.as_secs(), target.host)));
        }
        if !is_notified {
            notify();
            is_notified = true;
        }
        attempts.report(&last_error, reporter);
        std::thread::sleep(pause);
        if signals.is_stop_requested() {
            return Err(stopped_error(target));
        }
    }
}

fn stopped_error(target: &Target) -> anyhow::Error {
    failure!(Interrupted, "stopped while waiting for {}", target.host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Silent;
    use crate::deploy::verdict::tests::{state, target};
    use std::cell::Cell;

    #[test]
    fn another_boot_id_is_a_reboot() {
        let boot = |id: &str| State { boot_id: id.into(), ..State::default() };
        for (before, now, expected) in
            [("a", "b", true), ("a", "a", false), ("a", "", false), ("", "b", true)]
        {
            assert_eq!(has_rebooted(&boot(before), &boot(now)), expected, "{before} {now}");
        }
    }

    #[test]
    fn an_unreachable_host_is_probed_until_it_answers() {
        let probes = Cell::new(0);
        let probe = || {
            probes.set(probes.get() + 1);
            if probes.get() < 2 { Err(ExitKind::Unreachable.error("gone")) } else { Ok(state("p", None)) }
        };
        let found = wait_until_reachable(&target(None), Duration::from_secs(60), &Silent, probe).unwrap();
        assert_eq!((found, probes.get()), (state("p", None), 2));
    }

    #[test]
    fn a_wait_ends_with_the_error_of_the_last_probe() {
        for expected in [ExitKind::Unreachable, ExitKind::HostKey] {
            let probe = || Err::<State, _>(expected.error("no"));
            let error = wait_until_reachable(&target(None), Duration::ZERO, &Silent, probe).unwrap_err();
            assert_eq!(kind(&error), expected);
        }
    }
}
