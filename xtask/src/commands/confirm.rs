//! How the commands that write to a card get confirm to it.

use anyhow::Result;

use crate::base::failure::ExitKind;
use crate::card::disk::{Confirmation, Disk, VirtualCards};
use crate::cli::ConfirmArgs;
use crate::ui::{self, Prompt};

impl ConfirmArgs {
    pub fn virtual_cards(&self) -> VirtualCards {
        if self.allow_virtual { VirtualCards::Allowed } else { VirtualCards::Refused }
    }

    /// # Errors
    /// A size that is none.
    pub fn confirmation(&self) -> Result<Confirmation> {
        let size = self.expect_size.as_deref().map(crate::base::parse_bytes).transpose()?;
        let expected = || Confirmation::Expected { size, serial: self.expect_serial.clone() };
        Ok(match (self.yes, ui::on_terminal()) {
            (true, _) => expected(),
            (false, true) if size.is_some() || self.expect_serial.is_some() => expected(),
            (false, true) => Confirmation::Typed,
            (false, false) => Confirmation::Missing,
        })
    }

    /// Asks for the text that confirms `disk`, unless that was agreed to beforehand. `meaning` is the
    /// sentence that says what will happen to the card.
    ///
    /// # Errors
    /// Another answer, and Ctrl-C.
    pub fn confirm(&self, disk: &Disk, meaning: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        let confirm_phrase = disk.confirm_phrase();
        let question = format!("{meaning} Type {} to go on:", confirm_phrase.question());
        let prompt = Prompt { question: &question, unanswered: "stopped; nothing was written" };
        if confirm_phrase.accepts(&prompt.ask()?) {
            return Ok(());
        }
        Err(ExitKind::Refused.error("not confirmed; nothing was written"))
    }
}
