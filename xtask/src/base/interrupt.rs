//! Stop requests: Ctrl-C (SIGINT), SIGTERM and SIGHUP. While a [`SignalGuard`] lives, a request sets a flag instead of
//! ending the process, so that children end first and the command reports the state of its work. Between guards a
//! request ends the process: by the signal, or as [`end_stopped_run_with`] says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator;

use crate::base::failure::ExitKind;

/// What a run that is stopped has not done, in words; see [`set_undone`].
static UNDONE: Mutex<Option<&str>> = Mutex::new(None);

static SIGNALS: LazyLock<std::io::Result<Signals>> = LazyLock::new(Signals::watch);

struct Signals {
    /// A stop request has arrived.
    requested: Arc<AtomicBool>,
    /// A stop request has arrived that neither a guard nor the thread of [`end_stopped_run_with`] has seen.
    unseen: Arc<AtomicBool>,
    /// A request ends the process by its signal, as it does without this module: no guard lives, and nothing else ends
    /// the process.
    fatal: Arc<AtomicBool>,
    guards: Mutex<Guards>,
}

#[derive(Default)]
struct Guards {
    /// How many guards live.
    count: usize,
    /// Whether a thread ends the process of a run that is stopped while no guard lives.
    has_thread: bool,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let unseen = Arc::new(AtomicBool::new(false));
        let fatal = Arc::new(AtomicBool::new(true));
        for signal in stop_signals() {
            flag::register_conditional_default(signal, fatal.clone())?;
            flag::register(signal, requested.clone())?;
            flag::register(signal, unseen.clone())?;
        }
        Ok(Self { requested, unseen, fatal, guards: Mutex::default() })
    }

    fn guards(&self) -> MutexGuard<'_, Guards> {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request has arrived that no guard has seen or will see.
    fn is_unguarded_request(&self) -> bool {
        let guards = self.guards();
        self.unseen.swap(false, Ordering::SeqCst) && guards.count == 0
    }
}

/// Lets a thread call `end`, which reports the end of the run and ends the process, for a stop request while no guard
/// lives. Without this call such a request ends the process by its signal.
pub fn end_stopped_run_with(end: impl Fn() + Send + 'static) -> Result<()> {
    let doing = |error: &std::io::Error| anyhow!("watching for Ctrl-C: {error}");
    let signals = SIGNALS.as_ref().map_err(doing)?;
    let mut arrivals = iterator::Signals::new(stop_signals()).map_err(|error| doing(&error))?;
    let serve = move || {
        for _ in arrivals.forever() {
            if signals.is_unguarded_request() {
                end();
            }
        }
    };
    std::thread::Builder::new().name("stop".to_owned()).spawn(serve).map_err(|error| doing(&error))?;
    signals.guards().has_thread = true;
    signals.fatal.store(false, Ordering::SeqCst);
    Ok(())
}

/// The stop signals, without those that this process was started to ignore.
fn stop_signals() -> impl Iterator<Item = i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(move |signal| !is_ignored(&status, *signal))
}

/// Makes each stop request set `flag` too, whether a guard lives or not.
pub fn set_flag_on_stop(flag: &Arc<AtomicBool>) -> Result<()> {
    for signal in stop_signals() {
        flag::register(signal, flag.clone()).map_err(|error| anyhow!("watching for Ctrl-C: {error}"))?;
    }
    Ok(())
}

/// Makes the kernel keep the exit codes of children until this process waits for them. With SIGCHLD ignored, as the
/// parent may have left it, the kernel drops them.
pub fn keep_exit_codes() -> Result<()> {
    flag::register(SIGCHLD, Arc::default())
        .map_err(|error| anyhow!("watching for the end of children: {error}"))?;
    Ok(())
}

/// Whether this process was started with `signal` ignored, as `nohup` and shells without job control do; it stays
/// ignored. `status` is the text of `/proc/self/status` (proc(5)).
fn is_ignored(status: &str, signal: i32) -> bool {
    let digits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Lets the error of a run that is stopped say what it has not done, such as `no card was written`. `None` once the run
/// may have done it.
pub fn set_undone(words: Option<&'static str>) {
    *UNDONE.lock().unwrap_or_else(PoisonError::into_inner) = words;
}

/// The error of a run that is stopped.
pub fn stopped_error() -> anyhow::Error {
    let undone = *UNDONE.lock().unwrap_or_else(PoisonError::into_inner);
    let undone = undone.map(|words| format!("; {words}")).unwrap_or_default();
    ExitKind::Interrupted.error(format!("stopped{undone}"))
}

/// While a guard lives, stop requests set a flag instead of ending the process.
pub struct SignalGuard(&'static Signals);

/// Makes a guard for work that must not be cut off.
pub fn guard() -> Result<SignalGuard> {
    let signals = SIGNALS.as_ref().map_err(|error| anyhow!("watching for Ctrl-C: {error}"))?;
    signals.guards().count += 1;
    signals.fatal.store(false, Ordering::SeqCst);
    Ok(SignalGuard(signals))
}

impl SignalGuard {
    /// Whether the user has asked to stop.
    pub fn is_stop_requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }

    /// Fails once the user has asked to stop.
    ///
    /// # Errors
    /// [`ExitKind::Interrupted`].
    pub fn check(&self) -> Result<()> {
        if self.is_stop_requested() { Err(stopped_error()) } else { Ok(()) }
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        let mut guards = self.0.guards();
        guards.count -= 1;
        // A request during the life of this guard was for its work.
        self.0.unseen.store(false, Ordering::SeqCst);
        self.0.fatal.store(guards.count == 0 && !guards.has_thread, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_the_process() {
        let status =
            "Name:\txtask\nSigBlk:\t0000000000000003\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(is_ignored(status, SIGHUP));
        assert!(!is_ignored(status, SIGINT) && !is_ignored(status, SIGTERM));
        assert!(!is_ignored("", SIGHUP) && !is_ignored("SigIgn:\tnone\n", SIGHUP));
        crate::base::fuzz::check_text(&[status], |status| is_ignored(status, SIGTERM));
    }
}
