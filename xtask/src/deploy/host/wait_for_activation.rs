//! Waiting for the end of an activation: deploy-rs exits before a rollback on the host ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::state::{Activity, State};
use crate::base::failure::{ExitKind, kind};
use crate::base::{Event, Reporter, interrupt};
use crate::deploy::target::Target;
use crate::{bail, failure};

/// The pause between two probes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long the state of a host without `pgrep` must stay the same to count as final.
const STABLE_TIME: Duration = Duration::from_secs(10);
/// How long to wait beyond the host's own timeouts, in seconds.
const GRACE_SECONDS: u64 = 30;

/// Repeats `probe` until no activation runs on the host, and returns its last state. Retries while the host is
/// unreachable.
///
/// # Errors
/// `Unreachable` or `Undecided` if the activation has not ended after the host's own timeouts, `Interrupted` if the
/// user stops the wait twice; any other error at once.
pub fn wait_for_activation(
    target: &Target,
    reporter: &dyn Reporter,
    probe: impl Fn() -> Result<State>,
) -> Result<State> {
    let timeouts = target.confirm_timeout.saturating_add(target.activation_timeout);
    let limit = Duration::from_secs(timeouts.saturating_add(GRACE_SECONDS));
    let begin = Instant::now();
    // A stop between two probes counts too.
    let stop = Arc::new(AtomicBool::new(false));
    interrupt::set_flag_on_stop(&stop)?;
    let _signals = interrupt::guard()?;
    let mut detector = EndDetector::default();
    let mut reported = false;
    let mut stopped = false;
    loop {
        let answer = probe();
        let is_stop = stop.swap(false, Ordering::SeqCst);
        let pending = match answer {
            Ok(state) if detector.has_ended(&state) => return Ok(state),
            Ok(_) => failure!(
                Undecided,
                "{} was still activating after {} s: what it will run is unknown",
                target.host,
                limit.as_secs()
            ),
            Err(error) if kind(&error) == ExitKind::Unreachable => error.context(link_lost_context(target)),
            Err(error) if kind(&error) == ExitKind::Interrupted => error,
            Err(error) => return Err(error),
        };
        // The host continues by itself, so its final state is worth the wait, unless the user insists.
        if is_stop || kind(&pending) == ExitKind::Interrupted {
            note_stop(target, reporter, &mut stopped)?;
            continue;
        }
        if begin.elapsed() > limit {
            return Err(pending);
        }
        if !reported && begin.elapsed() > POLL_INTERVAL {
            reporter.report(&Event::note(waiting_note(target, &pending)));
            reported = true;
        }
        sleep_until(&stop);
    }
}

/// Notes the first stop by the user.
///
/// # Errors
/// `Interrupted` where the user has `stopped` the wait before.
fn note_stop(target: &Target, reporter: &dyn Reporter, stopped: &mut bool) -> Result<()> {
    let host = &target.host;
    if std::mem::replace(stopped, true) {
        bail!(
            Interrupted, "stopped while an activation may be running on {host}";
            hint: "see what it runs by `cargo xtask status {host:#}`"
        );
    }
    reporter.report(&Event::note(format!("stopped; reading what {host} runs")));
    Ok(())
}

/// Sleeps for [`POLL_INTERVAL`], or until the user asks to stop.
fn sleep_until(stop: &AtomicBool) {
    let begin = Instant::now();
    while begin.elapsed() < POLL_INTERVAL && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(POLL_INTERVAL / 20);
    }
}

/// What the tool waits for, by the error `pending` that it would end with now.
fn waiting_note(target: &Target, pending: &anyhow::Error) -> String {
    match kind(pending) {
        ExitKind::Unreachable => format!("waiting for {} to be reachable again", target.host),
        _ => format!("waiting for the activation on {}, or its rollback, to end", target.host),
    }
}

/// The context of the error for a link that broke during the wait.
fn link_lost_context(target: &Target) -> String {
    format!(
        "reading what {} runs after the deploy, which it rolls back within {} s unless the deploy was confirmed",
        target.host, target.confirm_timeout
    )
}

/// Detects the end of an activation from a series of states.
#[derive(Default)]
struct EndDetector {
    /// The last state of a host without `pgrep`, and when it was first read.
    last: Option<(State, Instant)>,
}

impl EndDetector {
    /// Adds `state` to the series, and returns whether the activation has ended.
    fn has_ended(&mut self, state: &State) -> bool {
        match state.activity {
            Activity::Idle => true,
            Activity::Running => false,
            Activity::Unknown => self.has_settled(state),
        }
    }

    /// Adds `state` to the series, and returns whether the state has stayed the same for [`STABLE_TIME`]: the criterion
    /// without `pgrep`.
    fn has_settled(&mut self, state: &State) -> bool {
        match &self.last {
            Some((last, since)) if last == state => since.elapsed() >= STABLE_TIME,
            _ => {
                self.last = Some((state.clone(), Instant::now()));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Silent;
    use crate::deploy::verdict::tests::{state, target};
    use std::cell::RefCell;

    /// Waits for a host whose probes return `answers`, one after the other.
    fn wait_with(answers: Vec<Result<State>>) -> Result<State> {
        let answers = RefCell::new(answers.into_iter());
        wait_for_activation(&target(None), &Silent, || answers.borrow_mut().next().unwrap())
    }

    #[test]
    fn probes_repeat_until_the_activation_ends() {
        let idle = State { activity: Activity::Idle, ..state("before", Some("old")) };
        let running = State { activity: Activity::Running, ..state("profile", Some("new")) };
        let lost = || Err(ExitKind::Unreachable.error("gone"));
        let found = wait_with(vec![Ok(running), lost(), Ok(idle.clone())]).unwrap();
        assert_eq!(found, idle);
    }

    #[test]
    fn endless_timeouts_do_not_overflow() {
        let idle = State { activity: Activity::Idle, ..state("before", Some("old")) };
        let endless = Target { confirm_timeout: u64::MAX, ..target(None) };
        assert_eq!(wait_for_activation(&endless, &Silent, || Ok(idle.clone())).unwrap(), idle);
    }

    #[test]
    fn a_second_stop_or_another_error_ends_the_wait() {
        let idle = State { activity: Activity::Idle, ..state("before", Some("old")) };
        let stopped = || Err(ExitKind::Interrupted.error("stopped"));
        assert_eq!(wait_with(vec![stopped(), Ok(idle.clone())]).unwrap(), idle);
        assert_eq!(kind(&wait_with(vec![stopped(), stopped()]).unwrap_err()), ExitKind::Interrupted);
        let error = wait_with(vec![Err(ExitKind::HostKey.error("another"))]).unwrap_err();
        assert_eq!(kind(&error), ExitKind::HostKey);
    }
}
