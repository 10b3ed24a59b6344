//! The confirmation of commands that run by sudo.

use anyhow::Result;

use crate::base::Context;
use crate::setup::Sudo;
use crate::ui::{self, Prompt};

/// Asks on the terminal; without a terminal the answer is no.
pub const ASK: Sudo = Sudo::Ask(ask);

/// Shows `commands`, and asks whether sudo may run them.
fn ask(cx: &Context, commands: &str) -> Result<bool> {
    if !ui::can_ask() {
        return Ok(false);
    }
    cx.note(commands);
    Prompt { notice: "", question: "Continue? [y/N]", unanswered: "stopped; nothing was changed" }.confirm()
}
