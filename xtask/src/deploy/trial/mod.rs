//! Trials: a new system is booted once, and becomes the default of the boot menu only once it has proved itself.

mod checks;
mod decide;
mod judge;
mod reboot;
mod verdict_words;
mod words;

pub use checks::{check_not_on_trial, check_trials, plan_note};
pub use decide::{Decision, DecisionOutcome, decide, plan_decision};
pub use reboot::{is_due, reboot};
pub use verdict_words::{hint, offer, summary, why};
pub use words::{cell, remarks};
