//! A flash in hand. Its receipt is there before the card is touched, so that nothing that ends it leaves none.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::broken::{BrokenFlash, End};
use super::flashed::Source;
use super::{Flashed, Receipt, Timestamp, folder, store};
use crate::base::failure::{self, ExitKind};
use crate::base::{Context, Event, Reporter};
use crate::card::flash::Plan;

/// The receipt of a flash until its end is known.
pub struct RunningFlash {
    receipt: BrokenFlash,
    /// None where it could not be written, which was said.
    path: Option<PathBuf>,
}

/// Keeps a receipt of a flash that is about to begin. Where that fails, the card is none the worse: it is a warning.
pub fn begin_flash(cx: &Context, source: Source<'_>, plan: &Plan) -> RunningFlash {
    let receipt = BrokenFlash::new(source, plan);
    let written = store::write(&folder(), &receipt.clone().into());
    let path = written
        .inspect_err(|error| {
            cx.warn(format!("there is no receipt of this flash: {}", failure::with_hint(error)));
        })
        .ok();
    RunningFlash { receipt, path }
}

impl RunningFlash {
    /// Does `write`, which writes the card, and keeps how that was broken off, if it was.
    pub fn watch<T>(&self, cx: &Context, write: impl FnOnce(&Context) -> Result<T>) -> Result<T> {
        let watch = Arc::new(ProgressRecorder { reporter: cx.reporter.clone(), end: Mutex::default() });
        write(&cx.reporting_to(watch.clone())).inspect_err(|error| {
            let end = watch.end.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.break_off(cx, end, error);
        })
    }

    fn break_off(&self, cx: &Context, end: End, error: &anyhow::Error) {
        let Some(path) = &self.path else { return };
        let kind = failure::kind(error);
        // The worker refuses, and is stopped, without a trace on the card as long as no phase has begun.
        let untouched = matches!(
            kind,
            ExitKind::Refused | ExitKind::Usage | ExitKind::Permission | ExitKind::Interrupted
        );
        let kept = if end.doing.is_none() && untouched {
            std::fs::remove_file(path).map_err(Into::into)
        } else {
            let end = Some(End { exit_code: kind.code(), error: format!("{error:#}"), ..end });
            let receipt = BrokenFlash { when: Timestamp::now(), end, ..self.receipt.clone() };
            store::replace(path, &receipt.into())
        };
        if let Err(error) = kept {
            cx.warn(format!(
                "the receipt of this flash does not say how it ended: {}",
                failure::with_hint(&error)
            ));
        }
    }

    /// The flash has ended well.
    pub fn keep(self, cx: &Context, flashed: Flashed) {
        let Some(path) = self.path else { return };
        if let Err(error) = store::replace(&path, &Receipt::from(flashed)) {
            cx.warn(format!(
                "the receipt of this flash does not say that it ended well: {}",
                failure::with_hint(&error)
            ));
        }
    }
}

/// Passes on what is reported, and remembers how far it is.
struct ProgressRecorder {
    reporter: Arc<dyn Reporter>,
    end: Mutex<End>,
}

impl Reporter for ProgressRecorder {
    fn report(&self, event: &Event) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase { name, total, bytes } => {
                *end = End { doing: Some(name.clone()), total: *total, bytes: *bytes, ..End::default() };
            }
            Event::Progress { done, .. } => end.done = *done,
            _ => {}
        }
        drop(end);
        self.reporter.report(event);
    }

    fn report_for(&self, host: &str, event: &Event) {
        self.reporter.report_for(host, event);
    }
}
