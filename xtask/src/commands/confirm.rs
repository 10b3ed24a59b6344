//! How the commands that write to a card get agreement to it.

use anyhow::Result;

use crate::base::failure::Kind;
use crate::card::disk::{Consent, Disk, VirtualCards};
use crate::cli::Agreement;
use crate::ui::{self, Prompt};

impl Agreement {
    pub fn virtual_cards(&self) -> VirtualCards {
        if self.allow_virtual { VirtualCards::Allowed } else { VirtualCards::Refused }
    }

    /// # Errors
    /// A size that is none.
    pub fn consent(&self) -> Result<Consent> {
        let size = self.expect_size.as_deref().map(crate::base::parse_bytes).transpose()?;
        let expected = || Consent::Expected { size, serial: self.expect_serial.clone() };
        Ok(match (self.yes, ui::on_terminal()) {
            (true, _) => expected(),
            (false, true) if size.is_some() || self.expect_serial.is_some() => expected(),
            (false, true) => Consent::Typed,
            (false, false) => Consent::Missing,
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
        let confirmation = disk.confirmation();
        let question = format!("{meaning} Type {} to go on:", confirmation.question());
        let prompt = Prompt { question: &question, unanswered: "stopped; nothing was written" };
        if confirmation.accepts(&prompt.ask()?) {
            return Ok(());
        }
        Err(Kind::Refused.error("not confirmed; nothing was written"))
    }
}
