//! How the cards of a flash ended: a row for each, and one error for those that failed.

use super::write::CardEnd;
use crate::base::failure::{self, ExitKind};
use crate::base::{Bytes, Cell, Table, Tone};
use crate::commands::planned_card::PlannedCard;

/// A table with a row for each card.
pub fn table(cards: &[PlannedCard], ends: &[CardEnd]) -> Table {
    let mut table = Table::new(&["DEVICE", "HOST", "VERDICT", "WRITTEN", "TIME"]).with_optional(&["TIME"]);
    for (card, end) in cards.iter().zip(ends) {
        let device = card.plan.disk.path.display().to_string();
        let host = card.host().map_or_else(|| "-".to_owned(), |host| host.to_string());
        let report = end.report.as_ref();
        let written =
            report.map(|report| format!("{} of {}", Bytes(report.written_bytes()), Bytes(report.size)));
        let written = written.unwrap_or_else(|| "-".to_owned());
        let time = format!("{:.1} s", end.seconds);
        table.row([device.into(), host.into(), verdict(end), written.into(), Cell::from(time)]);
    }
    table
}

/// The verdict of a card in a word or two.
fn verdict(end: &CardEnd) -> Cell {
    match &end.result {
        Ok(()) => Cell::new("verified", Tone::Good),
        // The image is on the card, but its key is not in known_hosts, or its board does not boot.
        Err(_) if end.report.is_some() => Cell::new("incomplete", Tone::Bad),
        Err(error) => Cell::new(failure_label(failure::kind(error)), Tone::Bad),
    }
}

fn failure_label(kind: ExitKind) -> &'static str {
    match kind {
        ExitKind::Refused => "refused",
        ExitKind::Verification => "not verified",
        ExitKind::Io => "I/O error",
        ExitKind::Permission => "no permission",
        ExitKind::Interrupted => "stopped",
        _ => "failed",
    }
}

/// One error with the most severe kind of all cards, which names all that failed; `None` if none did.
pub fn worst_failure(cards: &[PlannedCard], ends: &[CardEnd]) -> Option<anyhow::Error> {
    let failed = cards.iter().zip(ends).filter_map(|(card, end)| {
        let error = end.result.as_ref().err()?;
        Some((card.plan.disk.path.display().to_string(), failure::kind(error)))
    });
    let (devices, kinds) = failed.unzip::<_, _, Vec<_>, Vec<_>>();
    let kind = kinds.into_iter().max_by_key(|kind| kind.severity())?;
    let stopped = if kind == ExitKind::Interrupted { "stopped: " } else { "" };
    let text = format!("{stopped}{} of {} cards failed: {}", devices.len(), cards.len(), devices.join(", "));
    if devices.len() == cards.len() {
        return Some(kind.error(text));
    }
    let only = cards.iter().map(|card| (card.plan.disk.path.display().to_string(), card.host()));
    let only = only.filter(|(device, _)| devices.contains(device)).map(|(device, host)| match host {
        Some(host) => format!(" --to {device}={host:#}"),
        None => format!(" --to {device}"),
    });
    let hint = format!("to flash only these cards again, name them by{}", only.collect::<String>());
    Some(kind.error_with_hint(text, hint))
}
