//! Waiting until the host has finished: deploy-rs ends before a rollback on the host does.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::probe::{Activity, State};
use crate::base::failure::{ExitKind, kind};
use crate::base::{Event, Reporter};
use crate::deploy::target::Target;

/// How often the host is asked.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a host without `pgrep` must stay as it is before that is taken for the end.
const QUIET: Duration = Duration::from_secs(10);
/// What is allowed beyond the host's own timeouts.
const GRACE: u64 = 30;

/// Asks with `ask` until no activation runs on the host any more, and returns its last state. A host
/// that cannot be reached for a while is asked again.
///
/// # Errors
/// `Unreachable` or `Undecided` where the host has not come to an end after its own timeouts, `Interrupted` where
/// the user stops it twice.
pub fn settle(target: &Target, reporter: &dyn Reporter, ask: impl Fn() -> Result<State>) -> Result<State> {
    let timeouts = target.confirm_timeout.saturating_add(target.activation_timeout);
    let limit = Duration::from_secs(timeouts.saturating_add(GRACE));
    let (begin, mut quiet) = (Instant::now(), Quiet::default());
    let (mut said, mut stopped) = (false, false);
    loop {
        let answer = ask();
        let pending = match answer {
            Ok(state) if quiet.has_ended(&state) => return Ok(state),
            Ok(_) => ExitKind::Undecided.error(format!(
                "{} was still activating after {} s: it is not known what it will run",
                target.host,
                limit.as_secs()
            )),
            Err(error) if kind(&error) == ExitKind::Unreachable => error.context(lost(target)),
            // The host goes on by itself: what it comes to is worth the wait, unless the user insists.
            Err(error) if kind(&error) == ExitKind::Interrupted && !std::mem::replace(&mut stopped, true) => {
                reporter.report(&Event::note(format!("stopped; finding out what {} runs", target.host)));
                continue;
            }
            Err(error) => return Err(error),
        };
        if begin.elapsed() > limit {
            return Err(pending);
        }
        if !said && begin.elapsed() > PAUSE {
            reporter.report(&Event::note(waiting(target, &pending)));
            said = true;
        }
        std::thread::sleep(PAUSE);
    }
}

fn waiting(target: &Target, pending: &anyhow::Error) -> String {
    match kind(pending) {
        ExitKind::Unreachable => format!("waiting for {} to be reached again", target.host),
        _ => format!("waiting for {} to end the activation or its rollback", target.host),
    }
}

fn lost(target: &Target) -> String {
    format!(
        "{} could not be reached again after the deploy, so it is not known what it runs; if it was not \
         confirmed, it goes back to what it ran before within {} s",
        target.host, target.confirm_timeout
    )
}

/// Watches states for the end of an activation.
#[derive(Default)]
struct Quiet {
    last: Option<(State, Instant)>,
}

impl Quiet {
    fn has_ended(&mut self, state: &State) -> bool {
        match state.activity {
            Activity::Idle => true,
            Activity::Running => false,
            Activity::Unknown => self.unchanged(state),
        }
    }

    /// Without `pgrep` the time tells for which nothing has changed.
    fn unchanged(&mut self, state: &State) -> bool {
        match &self.last {
            Some((last, since)) if last == state => since.elapsed() >= QUIET,
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

    fn run(answers: Vec<Result<State>>) -> Result<State> {
        let answers = RefCell::new(answers.into_iter());
        settle(&target(None), &Silent, || answers.borrow_mut().next().unwrap())
    }

    #[test]
    fn the_end_is_waited_for() {
        let idle = State { activity: Activity::Idle, ..state("before", Some("old")) };
        let running = State { activity: Activity::Running, ..state("profile", Some("new")) };
        let lost = || Err(ExitKind::Unreachable.error("gone"));
        let found = run(vec![Ok(running), lost(), Ok(idle.clone())]).unwrap();
        assert_eq!(found, idle);
        let endless = Target { confirm_timeout: u64::MAX, ..target(None) };
        assert_eq!(settle(&endless, &Silent, || Ok(idle.clone())).unwrap(), idle);
        let stopped = || Err(ExitKind::Interrupted.error("stopped"));
        assert_eq!(run(vec![stopped(), Ok(idle.clone())]).unwrap(), idle);
        assert_eq!(kind(&run(vec![stopped(), stopped()]).unwrap_err()), ExitKind::Interrupted);
        let error = run(vec![Err(ExitKind::HostKey.error("another"))]).unwrap_err();
        assert_eq!(kind(&error), ExitKind::HostKey);
    }
}
