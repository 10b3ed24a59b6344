//! How the commands that set up a machine get confirm to what sudo runs.

use anyhow::Result;

use crate::base::Context;
use crate::setup::Sudo;
use crate::ui::{self, Prompt};

/// Asks on the terminal; where there is none, nobody agrees.
pub const ASK: Sudo = Sudo::Ask(ask);

fn ask(cx: &Context, commands: &str) -> Result<bool> {
    if !ui::on_terminal() {
        return Ok(false);
    }
    cx.note(commands);
    Prompt { question: "Go on? [y/N]", unanswered: "stopped; nothing was changed" }.confirm()
}
