//! The result of `flash --dry-run` and `restore --dry-run`: the plan of a card that passed every check.

use anyhow::Result;

use super::flash_result::{self, RestoredFacts};
use super::next_step;
use crate::base::{Bytes, Context};
use crate::card::flash::Plan;
use crate::ui;

/// Prints that `plan` could be carried out; `restored` is what a restore writes.
pub fn show(cx: &Context, plan: &Plan, restored: Option<&RestoredFacts>) -> Result<()> {
    next_step::after_dry_run();
    if cx.json {
        return flash_result::print(plan, None, None, restored);
    }
    ui::print_result(&line(plan))
}

/// The line of the card of `plan`.
pub fn line(plan: &Plan) -> String {
    let payload = plan.payload.as_ref().map(|payload| format!(" and {}", payload.content.summary()));
    format!(
        "dry run: {} would get the image{}: {}; nothing was written",
        plan.disk.path.display(),
        payload.unwrap_or_default(),
        Bytes(plan.image.size)
    )
}
