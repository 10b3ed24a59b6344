//! Ctrl-C: while work is in hand, a request to stop is noted instead of ending the process, so that
//! children end first and the user is told how things stand.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Result, anyhow};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::base::failure::ExitKind;

static SIGNALS: LazyLock<std::io::Result<Signals>> = LazyLock::new(Signals::watch);

struct Signals {
    /// A request to stop has come.
    noted: Arc<AtomicBool>,
    /// Nothing is in hand: a request ends the process, as it does without this module.
    fatal: Arc<AtomicBool>,
    holds: AtomicUsize,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        let (noted, fatal) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        for signal in heeded() {
            flag::register_conditional_default(signal, fatal.clone())?;
            flag::register(signal, noted.clone())?;
        }
        Ok(Self { noted, fatal, holds: AtomicUsize::new(0) })
    }
}

/// The requests to stop that were not ignored at the start.
fn heeded() -> impl Iterator<Item = i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(move |signal| !is_ignored(&status, *signal))
}

/// Sets `flag` too, at once, when a request to stop comes.
pub fn set_at_request(flag: &Arc<AtomicBool>) -> Result<()> {
    let set = heeded().try_for_each(|signal| flag::register(signal, flag.clone()).map(drop));
    set.map_err(|error| anyhow!("watching for Ctrl-C: {error}"))
}

/// Sees to it that the kernel keeps the exit codes of children until they are asked for. A process that was started with
/// SIGCHLD ignored never learns of them.
pub fn keep_exit_codes() -> Result<()> {
    let doing = "watching for the end of children";
    flag::register(SIGCHLD, Arc::default()).map(drop).map_err(|error| anyhow!("{doing}: {error}"))
}

/// Whether this process was started with `signal` ignored, as `nohup` and shells without job control do: whoever wanted that
/// still wants it. `status` is that of the process, as proc(5) has it.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Work is in hand: requests to stop are noted until this is dropped.
pub struct SignalGuard(&'static Signals);

/// Begins work that must not be cut off.
pub fn hold() -> Result<SignalGuard> {
    let signals = SIGNALS.as_ref().map_err(|error| anyhow!("watching for Ctrl-C: {error}"))?;
    if signals.holds.fetch_add(1, Ordering::SeqCst) == 0 {
        signals.fatal.store(false, Ordering::SeqCst);
    }
    Ok(SignalGuard(signals))
}

impl SignalGuard {
    /// Whether the user has asked to stop.
    pub fn requested(&self) -> bool {
        self.0.noted.load(Ordering::SeqCst)
    }

    /// # Errors
    /// Of [`ExitKind::Interrupted`] once the user has asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.requested() { Err(ExitKind::Interrupted.error("stopped")) } else { Ok(()) }
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        if self.0.holds.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.fatal.store(true, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_are_ignored() {
        let status =
            "Name:\txtask\nSigBlk:\t0000000000000003\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(is_ignored(status, SIGHUP));
        assert!(!is_ignored(status, SIGINT) && !is_ignored(status, SIGTERM));
        assert!(!is_ignored("", SIGHUP) && !is_ignored("SigIgn:\tnone\n", SIGHUP));
        crate::base::fuzz::check_text(&[status], |status| is_ignored(status, SIGTERM));
    }
}
