//! Waiting for a host: one that was just flashed, or one that reboots.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::excerpt::tail;
use super::probe::State;
use super::ssh::Remote;
use crate::base::failure::{ExitKind, kind};
use crate::base::{Event, Reporter, interrupt};
use crate::deploy::target::Target;

/// How often the host is asked.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a link may be down.
const AGAIN: Duration = Duration::from_secs(30);
/// How long a host may take to come back.
const BOOT: Duration = Duration::from_secs(600);

/// Asks with `ask` until the host answers, for `limit` at most. It is said once what there is to do.
///
/// # Errors
/// `Unreachable` after `limit`, `Interrupted` where the user stops it, and every other error at once.
pub fn until_answered<T>(
    target: &Target,
    limit: Duration,
    reporter: &dyn Reporter,
    ask: impl Fn() -> Result<T>,
) -> Result<T> {
    let host = &target.host;
    let text = format!(
        "{host} does not answer yet: insert the card, power it on (waiting up to {} min; Ctrl-C stops)",
        limit.as_secs().div_ceil(60)
    );
    wait(target, limit, || reporter.report(&Event::note(&text)), ask, |_| true)
}

/// Asks a host again that may have been lost for a moment, when nothing is at work on it.
///
/// # Errors
/// `Unreachable` where it stays away.
pub fn again(target: &Target, reporter: &dyn Reporter, ask: impl Fn() -> Result<State>) -> Result<State> {
    let text = format!("waiting for {} to be reached again", target.host);
    wait(target, AGAIN, || reporter.report(&Event::note(&text)), ask, |_| true)
}

/// Reboots the host and asks it once it has come up again; `before` is its state till then.
///
/// # Errors
/// `Unreachable` where it does not come back within ten minutes.
pub fn reboot(
    remote: &Remote,
    target: &Target,
    before: &State,
    reporter: &dyn Reporter,
    ask: impl Fn() -> Result<State>,
) -> Result<State> {
    let host = &target.host;
    reporter.report(&Event::note(format!("rebooting {host}")));
    let sudo = target.sudo.as_ref().map(|sudo| format!("{sudo} ")).unwrap_or_default();
    match remote.attempt(&format!("{sudo}systemctl reboot")) {
        Ok(output) if !output.success() => {
            let text = format!("{host} refuses to reboot: {}", tail(&output.stderr));
            return Err(ExitKind::Undecided.error(text));
        }
        // The connection may end before the answer.
        Err(error) if kind(&error) != ExitKind::Unreachable => return Err(error),
        _ => {}
    }
    wait(target, BOOT, || {}, &ask, |state| has_rebooted(before, state))?;
    // The end of the boot, with all units that it starts.
    let _ = remote.attempt("systemctl is-system-running --wait");
    ask()
}

/// Whether `now` is after another boot. A host that is going down may no longer be able to say which boot it is in.
fn has_rebooted(before: &State, now: &State) -> bool {
    !now.boot_id.is_empty() && now.boot_id != before.boot_id
}

fn wait<T>(
    target: &Target,
    limit: Duration,
    say: impl Fn(),
    ask: impl Fn() -> Result<T>,
    enough: impl Fn(&T) -> bool,
) -> Result<T> {
    let (begin, hold, mut said) = (Instant::now(), interrupt::guard()?, false);
    loop {
        let late = match ask() {
            Ok(state) if enough(&state) => return Ok(state),
            Ok(_) => ExitKind::Undecided.error(format!("{} has not rebooted", target.host)),
            Err(error) if kind(&error) == ExitKind::Unreachable => error,
            Err(error) if kind(&error) == ExitKind::Interrupted => return Err(stopped(target)),
            Err(error) => return Err(error),
        };
        if hold.requested() {
            return Err(stopped(target));
        }
        if begin.elapsed() > limit {
            return Err(late.context(format!("after {} s", limit.as_secs())));
        }
        if !said {
            say();
            said = true;
        }
        std::thread::sleep(PAUSE);
        if hold.requested() {
            return Err(stopped(target));
        }
    }
}

fn stopped(target: &Target) -> anyhow::Error {
    ExitKind::Interrupted.error(format!("stopped while waiting for {}", target.host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Silent;
    use crate::deploy::verdict::tests::{state, target};
    use std::cell::Cell;

    #[test]
    fn another_boot() {
        let boot = |id: &str| State { boot_id: id.into(), ..State::default() };
        for (before, now, expected) in
            [("a", "b", true), ("a", "a", false), ("a", "", false), ("", "b", true)]
        {
            assert_eq!(has_rebooted(&boot(before), &boot(now)), expected, "{before} {now}");
        }
    }

    #[test]
    fn a_host_is_waited_for() {
        let asked = Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            if asked.get() < 2 { Err(ExitKind::Unreachable.error("gone")) } else { Ok(state("p", None)) }
        };
        let found = until_answered(&target(None), Duration::from_secs(60), &Silent, ask).unwrap();
        assert_eq!((found, asked.get()), (state("p", None), 2));
        for (failure, expected) in
            [(ExitKind::Unreachable, ExitKind::Unreachable), (ExitKind::HostKey, ExitKind::HostKey)]
        {
            let ask = || Err::<State, _>(failure.error("no"));
            let error = until_answered(&target(None), Duration::ZERO, &Silent, ask).unwrap_err();
            assert_eq!(kind(&error), expected);
        }
    }
}
