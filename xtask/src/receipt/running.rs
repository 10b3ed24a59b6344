//! The receipt of a running flash. The tool writes it before it changes the card, so that every flash leaves a receipt,
//! however the flash ends.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use super::broken_flash::{BrokenFlash, End};
use super::flashed::Source;
use super::{Flashed, Receipt, folder, store};
use crate::base::failure::{self, ExitKind};
use crate::base::{Context, Event, Reporter, Subject, Timestamp};
use crate::card::flash::Plan;

/// The receipt of a flash that has not ended yet.
pub struct RunningFlash {
    receipt: BrokenFlash,
    /// The file of the receipt; `None` if the receipt could not be written, of which the tool has warned.
    path: Option<PathBuf>,
}

/// Writes the receipt of a flash that is about to begin. A failure is a warning, because it does not harm the card.
pub fn begin_flash(cx: &Context, source: Source<'_>, plan: &Plan) -> RunningFlash {
    let receipt = BrokenFlash::new(source, plan);
    let path = match store::write(&folder(cx), &receipt.clone().into()) {
        Ok(path) => Some(path),
        Err(error) => {
            cx.warn_of(&error.context("no receipt of this flash was written"));
            None
        }
    };
    RunningFlash { receipt, path }
}

impl RunningFlash {
    /// Runs `write`, which writes the card, and returns its result. If `write` fails, the receipt records how.
    pub fn record<T>(&self, cx: &Context, write: impl FnOnce(&Context) -> Result<T>) -> Result<T> {
        let recorder = Arc::new(ProgressRecorder { reporter: cx.reporter.clone(), end: Mutex::default() });
        write(&cx.with_reporter(recorder.clone())).inspect_err(|error| {
            let progress = recorder.end.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.record_failure(cx, progress, error);
        })
    }

    /// Records the failure `error` of the flash at `progress`, or removes the receipt of a flash that has not changed
    /// the card.
    fn record_failure(&self, cx: &Context, progress: End, error: &anyhow::Error) {
        let Some(path) = &self.path else { return };
        let kind = failure::kind(error);
        let is_early_end = matches!(
            kind,
            ExitKind::Refused | ExitKind::Usage | ExitKind::Permission | ExitKind::Interrupted
        );
        // Before the first phase, a worker that refuses or is stopped has not changed the card.
        let result = if progress.phase.is_none() && is_early_end {
            std::fs::remove_file(path).map_err(Into::into)
        } else {
            let end = End { exit_code: kind.code(), error: failure::with_hint(error), ..progress };
            let receipt = BrokenFlash { when: Timestamp::now(), end: Some(end), ..self.receipt.clone() };
            store::replace(path, &receipt.into())
        };
        if let Err(error) = result {
            cx.warn(outdated_warning(path, "failed", &error));
        }
    }

    /// Replaces the receipt by that of a successful flash.
    pub fn complete(self, cx: &Context, flashed: Flashed) {
        let Some(path) = self.path else { return };
        if let Err(error) = store::replace(&path, &Receipt::from(flashed)) {
            cx.warn(outdated_warning(&path, "succeeded", &error));
        }
    }
}

/// The warning for a receipt at `path` that could not be replaced, because of `error`, when the flash `ended`: "failed"
/// or "succeeded".
fn outdated_warning(path: &Path, ended: &str, error: &anyhow::Error) -> String {
    format!(
        "the receipt {} does not show that the flash {ended}: {}; `history` shows the flash as unfinished",
        path.display(),
        failure::with_hint(error)
    )
}

/// A reporter that forwards all events and records the progress.
struct ProgressRecorder {
    reporter: Arc<dyn Reporter>,
    /// The progress, as the end of a flash that fails now.
    end: Mutex<End>,
}

impl Reporter for ProgressRecorder {
    fn report(&self, event: &Event) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase { name, total, is_in_bytes } => {
                *end = End {
                    phase: Some(name.clone()),
                    total: *total,
                    is_in_bytes: *is_in_bytes,
                    ..End::default()
                };
            }
            Event::Progress { done, .. } => end.done = *done,
            _ => {}
        }
        drop(end);
        self.reporter.report(event);
    }

    fn report_progress(&self) {
        self.reporter.report_progress();
    }

    fn report_for(&self, subject: &Subject, event: &Event) {
        self.reporter.report_for(subject, event);
    }
}
