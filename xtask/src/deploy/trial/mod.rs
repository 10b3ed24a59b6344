//! Trials: a new system is booted once, and becomes the default of the boot menu only if it is blessed.

mod checks;
mod decide;
mod decision;
mod judge;
mod reboot;
mod treatment;
mod verdict_words;
mod words;

pub use checks::{check_can_try, check_not_on_trial, next_boot_note};
pub use decide::{decide, plan_decision};
pub use decision::{Decision, DecisionOutcome, DecisionPlan, DecisionVerdict};
pub use reboot::{next_boot_is_trial, reboot};
pub use verdict_words::{hint, next_boot_remark, rollback_reason, summary};
pub use words::{remarks, table_cell};
