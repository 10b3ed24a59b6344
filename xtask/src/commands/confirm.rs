//! The confirmation of commands that write to a card.

use anyhow::Result;

use crate::bail;
use crate::card::disk::{Confirmation, Disk, VirtualCards};
use crate::cli::ConfirmArgs;
use crate::ui::{self, Prompt};

impl ConfirmArgs {
    /// Whether virtual cards are accepted, by `--allow-virtual`.
    pub fn virtual_cards(&self) -> VirtualCards {
        if self.allow_virtual { VirtualCards::Allowed } else { VirtualCards::Refused }
    }

    /// The confirmation that the options and the terminal allow.
    ///
    /// # Errors
    /// `Usage` for an invalid size.
    pub fn confirmation(&self) -> Result<Confirmation> {
        let size = self.expect_size.as_deref().map(crate::base::parse_bytes).transpose()?;
        let serial = self.expect_serial.clone();
        let is_expected = size.is_some() || serial.is_some();
        Ok(if self.yes || (is_expected && ui::can_ask()) {
            Confirmation::Expected { size, serial }
        } else if ui::can_ask() {
            Confirmation::Typed
        } else {
            Confirmation::Missing
        })
    }

    /// Asks for the phrase that confirms `disk`, unless `--yes` was given. The sentence `consequence` names what will
    /// happen to the card.
    ///
    /// # Errors
    /// `Refused` for another answer, and `Interrupted` for Ctrl-C.
    pub fn confirm(&self, disk: &Disk, consequence: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        let confirm_phrase = disk.confirm_phrase();
        let question = format!("Type {} to go on:", confirm_phrase.question());
        let prompt =
            Prompt { notice: consequence, question: &question, unanswered: "stopped; nothing was written" };
        if confirm_phrase.accepts(&prompt.ask_before_loss()?) {
            return Ok(());
        }
        bail!(Refused, "not confirmed; nothing was written")
    }
}
