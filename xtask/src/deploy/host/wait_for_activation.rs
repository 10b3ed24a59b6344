//! Waiting for the end of an activation: deploy-rs exits before a rollback on the host ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::state::{Activity, State};
use crate::base::failure::{ExitKind, kind};
use crate::base::{Event, Reporter, interrupt};
use crate::deploy::lost_link::LostLink;
use crate::deploy::target::Target;
use crate::{bail, failure};

/// The pause between two probes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long the state of a host without `pgrep` must stay the same to count as final.
const STABLE_TIME: Duration = Duration::from_secs(10);
/// How long an activation that deploy-rs has begun may take to reach the host.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long to wait beyond the host's own timeouts, in seconds.
const GRACE_SECONDS: u64 = 30;

/// Repeats `probe` until no activation runs on the host, and returns its last state. Retries while the host is
/// unreachable, in which case the user reads what `link` knows. `may_begin` says whether an activation may be on its
/// way to the host still. `stopped`: whether the user has stopped the run before, and is told so.
///
/// # Errors
/// `Unreachable` or `Undecided` if the activation has not ended after the host's own timeouts, `Interrupted` if the
/// user stops the run a second time; any other error at once.
pub fn wait_for_activation(
    target: &Target,
    reporter: &dyn Reporter,
    link: LostLink,
    probe: impl Fn() -> Result<State>,
    may_begin: impl Fn() -> bool,
    mut stopped: bool,
) -> Result<State> {
    let timeouts = target.confirm_timeout.saturating_add(target.activation_timeout);
    let limit = Duration::from_secs(timeouts.saturating_add(GRACE_SECONDS));
    let begin = Instant::now();
    let doing = || format!("reading what {} runs after the deploy", target.host);
    // A stop between two probes counts too.
    let stop = Arc::new(AtomicBool::new(false));
    interrupt::set_flag_on_stop(&stop)?;
    let _signals = interrupt::guard()?;
    let mut detector = EndDetector::default();
    let mut reported = false;
    loop {
        // Asked for before the state: an activation that has ended by then is in the state.
        let may_begin = begin.elapsed() < START_TIMEOUT && may_begin();
        let answer = probe();
        let is_stop = stop.swap(false, Ordering::SeqCst);
        let pending = match answer {
            Ok(state) if detector.has_ended(&state, may_begin) => return Ok(state),
            Ok(_) => still_activating_error(target, limit),
            Err(error) if kind(&error) == ExitKind::Unreachable => error.context(doing()),
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
            reporter.report(&Event::note(waiting_note(target, link, &pending)));
            reported = true;
        }
        sleep_until(&stop);
    }
}

/// The error for a host whose activation has not ended within `limit`.
fn still_activating_error(target: &Target, limit: Duration) -> anyhow::Error {
    let seconds = limit.as_secs();
    failure!(Undecided, "{} was still activating after {seconds} s: what it will run is unknown", target.host)
}

/// Notes the first stop by the user.
///
/// # Errors
/// `Interrupted` where the user has `stopped` the run before.
fn note_stop(target: &Target, reporter: &dyn Reporter, stopped: &mut bool) -> Result<()> {
    let host = &target.host;
    if std::mem::replace(stopped, true) {
        bail!(
            Interrupted, "stopped while an activation may be running on {host}";
            hint: "see what it runs by `cargo xtask status {host:#}`"
        );
    }
    report_stop(target, reporter);
    Ok(())
}

/// Reports that the run was stopped, and what goes on.
pub fn report_stop(target: &Target, reporter: &dyn Reporter) {
    let host = &target.host;
    reporter.report(&Event::note(format!("stopped; reading what {host} runs; Ctrl-C again ends that")));
}

/// Sleeps for [`POLL_INTERVAL`], or until the user asks to stop.
fn sleep_until(stop: &AtomicBool) {
    let begin = Instant::now();
    while begin.elapsed() < POLL_INTERVAL && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(POLL_INTERVAL / 20);
    }
}

/// What the tool waits for, by the error `pending` that it would end with now.
fn waiting_note(target: &Target, link: LostLink, pending: &anyhow::Error) -> String {
    match kind(pending) {
        ExitKind::Unreachable => {
            format!("waiting for {} to be reachable again{}", target.host, link.clause())
        }
        _ => format!("waiting for the activation on {}, or its rollback, to end", target.host),
    }
}

/// Detects the end of an activation from a series of states.
#[derive(Default)]
struct EndDetector {
    /// The last state of a host without `pgrep`, and when it was first read.
    last: Option<(State, Instant)>,
    /// Whether a state had a running activation.
    has_begun: bool,
}

impl EndDetector {
    /// Adds `state` to the series, and returns whether the activation has ended. A host without one is not at its end
    /// while the first one `may_begin`.
    fn has_ended(&mut self, state: &State, may_begin: bool) -> bool {
        match state.activity {
            Activity::Idle => self.has_begun || !may_begin,
            Activity::Running => {
                self.has_begun = true;
                false
            }
            Activity::Unknown => self.has_settled(state) && !may_begin,
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
    use crate::deploy::activation::DeployExit;
    use crate::deploy::options::Goal;
    use crate::deploy::verdict::tests::{state, target};
    use std::cell::RefCell;

    fn wait(target: &Target, probe: impl Fn() -> Result<State>) -> Result<State> {
        let exit = DeployExit { code: 1, activated: true, needs_reboot: false };
        let link = LostLink::after(target, Goal::Switch, exit);
        wait_for_activation(target, &Silent, link, probe, || false, false)
    }

    /// Waits for a host whose probes return `answers`, one after the other.
    fn wait_with(answers: Vec<Result<State>>) -> Result<State> {
        let answers = RefCell::new(answers.into_iter());
        wait(&target(None), || answers.borrow_mut().next().unwrap())
    }

    #[test]
    fn probes_repeat_until_the_activation_ends() {
        let idle = State { activity: Activity::Idle, ..state("before", Some("old")) };
        let running = State { activity: Activity::Running, ..state("profile", Some("new")) };
        let lost = || Err(ExitKind::Unreachable.error("gone"));
        let found = wait_with(vec![Ok(running), lost(), Ok(idle.clone())]).unwrap();
        assert_eq!(found, idle);
    }

    /// A host that runs no activation yet looks like one whose activation has ended.
    #[test]
    fn an_activation_that_is_on_its_way_is_waited_for() {
        let idle = || State { activity: Activity::Idle, ..state("before", Some("old")) };
        let settled = || State { activity: Activity::Unknown, ..idle() };
        let running = || State { activity: Activity::Running, ..idle() };
        for (states, may_begin, expected) in [
            (vec![idle()], false, true),
            (vec![idle()], true, false),
            (vec![settled()], true, false),
            (vec![running(), idle()], true, true),
            (vec![running()], false, false),
        ] {
            let mut detector = EndDetector::default();
            let ended = states.iter().map(|state| detector.has_ended(state, may_begin)).last();
            assert_eq!(ended, Some(expected), "{states:?} {may_begin}");
        }
    }

    #[test]
    fn endless_timeouts_do_not_overflow() {
        let idle = State { activity: Activity::Idle, ..state("before", Some("old")) };
        let endless = Target { confirm_timeout: u64::MAX, ..target(None) };
        let found = wait(&endless, || Ok(idle.clone()));
        assert_eq!(found.unwrap(), idle);
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
