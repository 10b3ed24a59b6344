//! The confirmation of commands that write to a card.

use anyhow::Result;

use crate::bail;
use crate::card::disk::{ConfirmPhrases, Confirmation, Disk, VirtualCards};
use crate::cli::{ConfirmArgs, WriteArgs};
use crate::ui::{self, Answer, Prompt, is_no};

impl ConfirmArgs {
    /// Whether virtual cards are accepted, by `--allow-virtual`.
    pub fn virtual_cards(&self) -> VirtualCards {
        if self.allow_virtual { VirtualCards::Allowed } else { VirtualCards::Refused }
    }

    /// The confirmation that the options and the terminal allow.
    pub fn confirmation(&self) -> Confirmation {
        self.confirmation_where(ui::can_ask())
    }

    /// The confirmation of a dry run, which asks nothing: with a terminal or without, the user would be asked later.
    pub fn dry_confirmation(&self) -> Confirmation {
        self.confirmation_where(true)
    }

    fn confirmation_where(&self, can_ask: bool) -> Confirmation {
        let size = self.expect_size;
        let serial = self.expect_serial.clone();
        let is_expected = size.is_some() || serial.is_some();
        if self.yes || (is_expected && can_ask) {
            Confirmation::Expected { size, serial }
        } else if can_ask {
            Confirmation::Typed
        } else {
            Confirmation::Missing
        }
    }

    /// Asks for the phrase that confirms `disk`, unless `--yes` was given; a second time after another answer than no.
    /// The sentence `consequence` names what will happen to the card.
    ///
    /// # Errors
    /// `Refused` for another answer, and `Interrupted` for Ctrl-C.
    pub fn confirm(&self, disk: &Disk, consequence: &str) -> Result<()> {
        self.confirm_all(&[disk], consequence)
    }

    /// As [`Self::confirm`], for all `disks` at once: the user types the phrase of each.
    ///
    /// # Errors
    /// As those of [`Self::confirm`].
    pub fn confirm_all(&self, disks: &[&Disk], consequence: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        let confirm_phrase = ConfirmPhrases::of(disks);
        let question = format!("Type {} to go on:", confirm_phrase.question());
        let prompt =
            Prompt { notice: consequence, question: &question, unanswered: "stopped; no card was written" };
        let confirmed = prompt.ask_before_loss(|answer| match answer {
            _ if confirm_phrase.accepts(answer) => Answer::Accepted(()),
            _ if is_no(answer) => Answer::Declined,
            _ => Answer::Again(format!("{answer:?} is not {}.", confirm_phrase.question())),
        })?;
        if confirmed.is_some() {
            return Ok(());
        }
        bail!(Refused(NotConfirmed), "not confirmed; no card was written")
    }
}

impl WriteArgs {
    /// Asks whether the mounted partitions of the `cards` may be unmounted, unless `--unmount` was given.
    ///
    /// # Errors
    /// `Refused` for another answer than yes, and `Interrupted` for Ctrl-C.
    pub fn confirm_unmounting<'a>(&self, cards: impl IntoIterator<Item = &'a Disk>) -> Result<()> {
        let mounts = cards.into_iter().flat_map(Disk::plain_mounts);
        let sentences = mounts.map(|(device, at)| format!("/dev/{device} is mounted at {}", at.display()));
        let sentences = sentences.collect::<Vec<_>>();
        if sentences.is_empty() || self.unmount {
            return Ok(());
        }
        let pronoun = if sentences.len() > 1 { "them" } else { "it" };
        let question = format!("{}. Unmount {pronoun}? [y/N]", sentences.join(", "));
        let prompt = Prompt { notice: "", question: &question, unanswered: "stopped; no card was written" };
        if prompt.confirm()? {
            return Ok(());
        }
        bail!(Refused(NotConfirmed), "not confirmed; nothing was unmounted, and no card was written")
    }
}
