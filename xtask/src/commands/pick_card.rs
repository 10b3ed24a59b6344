//! Picking a card of those that are in.

use anyhow::Result;

use super::listed_disk::{self, Listed, ListedDisk};
use crate::bail;
use crate::base::{Bytes, Context, Table};
use crate::card::disk::{Disk, Request};
use crate::ui::{self, Answer, MAX_ANSWERS_BEFORE_LOSS, Prompt};

/// Lists the cards that are in and not `taken`, names those that `request` refuses, and asks which of the others is the
/// one. `None` where the user waits for another card, and where no card is accepted. The card is returned as it was
/// listed, so that a later change of it is noticed.
///
/// # Errors
/// `Refused` for an answer that names no accepted card, and `Interrupted` for Ctrl-C.
pub fn pick(cx: &Context, request: &Request, taken: &[&Disk]) -> Result<Option<Disk>> {
    let mut cards = listed_disk::list(request, Listed::Cards)?;
    cards.retain(|card| !taken.iter().any(|taken| taken.is_same_device(&card.disk)));
    let (mut accepted, refused) = cards.into_iter().partition::<Vec<_>, _>(|card| card.accepted);
    for reason in refused.iter().filter_map(|card| card.refusals.first()) {
        cx.note(format!("not offered: {}", reason.message));
    }
    if accepted.is_empty() {
        return Ok(None);
    }
    ui::show_table(&table(&accepted))?;
    Ok(ask(accepted.len())?.map(|index| accepted.swap_remove(index).disk))
}

/// The numbered cards.
fn table(cards: &[ListedDisk]) -> Table {
    let mut table = Table::new(&["", "DEVICE", "SIZE", "MODEL", "HOLDS"]).with_optional(&["MODEL"]);
    for (index, ListedDisk { disk, .. }) in cards.iter().enumerate() {
        table.row([
            (index + 1).to_string(),
            disk.path.display().to_string(),
            Bytes(disk.size).to_string(),
            disk.title(),
            disk.content(),
        ]);
    }
    table
}

/// Asks for the number of one of the first `count` cards; `None` where the user waits for another card.
fn ask(count: usize) -> Result<Option<usize>> {
    let numbers =
        if count == 1 { "1 for this card".to_owned() } else { format!("the number of a card (1-{count})") };
    let question = format!("Type {numbers}, or press Enter to insert another one later:");
    let prompt = Prompt { notice: "", question: &question, unanswered: "stopped; no card was written" };
    let picked = prompt.ask_until(MAX_ANSWERS_BEFORE_LOSS, |answer| match answer.parse::<usize>() {
        _ if answer.is_empty() => Answer::Accepted(None),
        Ok(number) if (1..=count).contains(&number) => Answer::Accepted(Some(number - 1)),
        _ => Answer::Again(format!("{answer:?} is no number of a card.")),
    })?;
    if let Some(picked) = picked {
        return Ok(picked);
    }
    bail!(Refused(NotConfirmed), "no card was picked; nothing was written")
}
