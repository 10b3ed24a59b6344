//! Stop requests: Ctrl-C (SIGINT), SIGTERM and SIGHUP. While a [`SignalGuard`] lives, a request sets a flag instead of
//! ending the process, so that children end first and the command reports the state of its work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Result, anyhow};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::base::failure::ExitKind;

static SIGNALS: LazyLock<std::io::Result<Signals>> = LazyLock::new(Signals::watch);

struct Signals {
    /// A stop request has arrived.
    requested: Arc<AtomicBool>,
    /// No guard lives: a request ends the process, as it does without this module.
    fatal: Arc<AtomicBool>,
    guards: AtomicUsize,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let fatal = Arc::new(AtomicBool::new(true));
        for signal in stop_signals() {
            flag::register_conditional_default(signal, fatal.clone())?;
            flag::register(signal, requested.clone())?;
        }
        Ok(Self { requested, fatal, guards: AtomicUsize::new(0) })
    }
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

/// While a guard lives, stop requests set a flag instead of ending the process.
pub struct SignalGuard(&'static Signals);

/// Makes a guard for work that must not be cut off.
pub fn guard() -> Result<SignalGuard> {
    let signals = SIGNALS.as_ref().map_err(|error| anyhow!("watching for Ctrl-C: {error}"))?;
    if signals.guards.fetch_add(1, Ordering::SeqCst) == 0 {
        signals.fatal.store(false, Ordering::SeqCst);
    }
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
        if self.is_stop_requested() { Err(ExitKind::Interrupted.error("stopped")) } else { Ok(()) }
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        if self.0.guards.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.fatal.store(true, Ordering::SeqCst);
        }
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
