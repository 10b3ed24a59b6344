//! The next step, with which a command ends: a line on stderr, or a field of the result as JSON.

use std::sync::{Mutex, PoisonError};

use super::lay_out;
use super::style::Stream;
use crate::base::{NextStep, escape};

/// The next step of this run, once it is known.
static NEXT: Mutex<Option<NextStep>> = Mutex::new(None);

/// Gives `step` as the next step after this run. [`print_next_step`] prints it when the command has succeeded; after a
/// failure, the hint of the error counts.
pub fn end_with(step: NextStep) {
    *NEXT.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
}

/// Takes the next step of this run, for its result as JSON.
pub fn take() -> Option<NextStep> {
    NEXT.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Prints the next step of this run on stderr, so that stdout is the result.
pub fn print_next_step() {
    if let Some(step) = take() {
        let lines = lay_out(&escape::lines(&step.to_string()), Stream::Stderr);
        super::write_story(&lines);
    }
}
