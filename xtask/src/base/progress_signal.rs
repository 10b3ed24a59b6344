//! SIGUSR1, by which the user asks for the progress, as with dd(1). The signal ends a process without a handler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Result, anyhow};
use signal_hook::consts::SIGUSR1;
use signal_hook::flag;
use signal_hook::iterator::Signals;

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Begins to record requests, which [`take_request`] returns. From now on SIGUSR1 does not end the process.
pub fn watch() -> Result<()> {
    flag::register(SIGUSR1, REQUESTED.clone()).map_err(|error| anyhow!("watching for SIGUSR1: {error}"))?;
    Ok(())
}

/// Returns whether there was a request since the last call.
pub fn take_request() -> bool {
    REQUESTED.swap(false, Ordering::Relaxed)
}

/// Calls `answer` for each request, from a thread of its own, until `answer` returns false. Where no thread can be
/// started, requests are ignored.
pub fn answer_with(answer: impl Fn() -> bool + Send + 'static) {
    let Ok(mut signals) = Signals::new([SIGUSR1]) else { return };
    let serve = move || {
        for _ in signals.forever() {
            if !answer() {
                break;
            }
        }
    };
    let _ = std::thread::Builder::new().name("progress".to_owned()).spawn(serve);
}
