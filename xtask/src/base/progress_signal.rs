//! SIGUSR1: the user asks for the progress, as with dd(1). Without a handler the signal ends a process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Result, anyhow};
use signal_hook::consts::SIGUSR1;
use signal_hook::flag;
use signal_hook::iterator::Signals;

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Begins to record requests, which [`take_request`] returns. From now on SIGUSR1 does not end the process.
pub fn watch() -> Result<()> {
    let watching = flag::register(SIGUSR1, REQUESTED.clone()).map(drop);
    watching.map_err(|error| anyhow!("watching for SIGUSR1: {error}"))
}

/// Whether there was a request since the last call.
pub fn take_request() -> bool {
    REQUESTED.swap(false, Ordering::Relaxed)
}

/// Calls `answer` for each request, from a thread of its own, until `answer` returns false. Where no thread can be
/// started, requests are ignored.
pub fn answer_with(answer: impl Fn() -> bool + Send + 'static) {
    let Ok(mut signals) = Signals::new([SIGUSR1]) else { return };
    let serve = move || signals.forever().take_while(|_| answer()).for_each(drop);
    let _ = std::thread::Builder::new().name("progress".to_owned()).spawn(serve);
}
