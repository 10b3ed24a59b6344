//! The table of `history`: a row for each receipt, and one for deploys in a row that changed nothing.

use std::path::Path;

use crate::base::{Cell, Table, Tone};
use crate::nix::Revision;
use crate::receipt::{BrokenFlash, Deployed, Flashed, Numbered, Receipt};

/// The table of `receipts`, the newest last.
pub fn table(receipts: &[Numbered]) -> Table {
    let mut table =
        Table::new(&["NO", "WHEN (UTC)", "WHAT", "HOST", "VERDICT", "TOOK", "REVISION", "CONTENT"])
            .with_optional(&["TOOK", "REVISION", "WHAT", "CONTENT"]);
    // Deploys of several hosts are recorded in any order, so the receipts between may be those of other hosts.
    for (index, numbered) in receipts.iter().enumerate() {
        let later = &receipts[index + 1..];
        if !is_repeated(numbered, later) {
            table.row(cells(numbered, repetitions(numbered, &receipts[..index])));
        }
    }
    table
}

/// The system of a deploy that changed nothing.
fn unchanged_system(receipt: &Receipt) -> Option<&str> {
    match receipt {
        Receipt::Deploy(deploy) if deploy.is_no_op() => Some(&deploy.to),
        _ => None,
    }
}

/// Whether `numbered` is a deploy that changed nothing, and the next receipt of its host is another one of the same
/// system, whose row counts both.
fn is_repeated(numbered: &Numbered, later: &[Numbered]) -> bool {
    let Some(system) = unchanged_system(&numbered.receipt) else { return false };
    let next = later.iter().find(|other| other.receipt.host() == numbered.receipt.host());
    next.is_some_and(|next| unchanged_system(&next.receipt) == Some(system))
}

/// How many receipts the row of `numbered` stands for; `earlier` are the receipts before it.
fn repetitions(numbered: &Numbered, earlier: &[Numbered]) -> usize {
    let Some(system) = unchanged_system(&numbered.receipt) else { return 1 };
    let of_host = earlier.iter().rev().filter(|other| other.receipt.host() == numbered.receipt.host());
    1 + of_host.take_while(|other| unchanged_system(&other.receipt) == Some(system)).count()
}

/// The cells of the row of `numbered`, which stands for `count` receipts.
fn cells(numbered: &Numbered, count: usize) -> [Cell; 8] {
    let Numbered { number, receipt } = numbered;
    let number = number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let revision = receipt.revision().map_or_else(|| "-".to_owned(), Revision::short);
    // The sum of no durations is -0.
    let time = |seconds: f64| format!("{:.1} s", seconds + 0.0);
    let (verdict, time, content) = match receipt {
        Receipt::Flash(flash) => {
            (Cell::new("done", Tone::Good), time(flash.seconds.total()), flash_content(flash))
        }
        Receipt::BrokenFlash(flash) => {
            let verdict = if flash.end.is_some() { "broken off" } else { "unfinished" };
            (Cell::new(verdict, Tone::Bad), "-".into(), broken_content(flash))
        }
        Receipt::Deploy(deploy) => {
            (deploy_verdict(deploy, count), time(deploy.seconds.total()), deploy.to.clone())
        }
    };
    let when = receipt.when().to_string().trim_end_matches(" UTC").to_owned();
    let [number, when, what] = [number, when, receipt.operation().into()].map(Cell::from);
    let host = Cell::from(receipt.host().unwrap_or("-"));
    let [time, revision, content] = [time, revision, content].map(Cell::from);
    [number, when, what, host, verdict, time, revision, content]
}

fn deploy_verdict(deploy: &Deployed, count: usize) -> Cell {
    let verdict = deploy.verdict.replace('_', " ");
    // A narrow table cuts the end of a cell.
    Cell::new(if count > 1 { format!("{count}x {verdict}") } else { verdict }, deploy.tone())
}

/// The card, the image, and the identity that the card got. A narrow table cuts the end of a cell, and the card is what
/// nothing else in the row tells.
fn flash_content(flash: &Flashed) -> String {
    let image = image_name(flash.image.store_path.as_ref(), &flash.image.path);
    let card = flash.card.summary();
    let identity = flash.identity().map(|identity| format!("; identity {}", identity.fingerprint));
    format!("{card} with {image}{}", identity.unwrap_or_default())
}

/// The card and the image of a flash that did not succeed, and its progress.
fn broken_content(flash: &BrokenFlash) -> String {
    let image = image_name(flash.image.store_path.as_ref(), &flash.image.path);
    format!("{} with {image}; {}", flash.card.summary(), flash.progress())
}

/// The store path of an image, or the path of its file without one.
fn image_name(store_path: Option<&String>, file: &Path) -> String {
    store_path.cloned().unwrap_or_else(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The receipt `number` of a deploy of `host` to the system `to`.
    fn deploy(number: u64, host: &str, to: &str, verdict: &str) -> Numbered {
        let receipt = json!({"kind": "deploy", "when": "2026-11-25T12:00:00Z", "host": host, "flake": "F", "from": null,
            "to": to, "verdict": verdict, "exit_code": 0, "seconds": []});
        Numbered { number: Some(number), receipt: serde_json::from_value(receipt).unwrap() }
    }

    #[test]
    fn deploys_that_change_nothing_share_a_row_and_hide_no_other() {
        let receipts = [
            deploy(1, "pi", "a", "done"),
            deploy(2, "pi", "a", "already_current"),
            deploy(3, "other", "x", "already_current"),
            deploy(4, "pi", "a", "already_current"),
            deploy(5, "pi", "b", "done"),
            deploy(6, "pi", "b", "already_current"),
        ];
        let table = table(&receipts).to_string();
        let rows = table.lines().skip(1).map(|line| line.split("  ").filter(|cell| !cell.is_empty()));
        let rows = rows.map(|cells| cells.map(str::trim).collect::<Vec<_>>());
        let found = rows.map(|cells| format!("{} {} {}", cells[0], cells[3], cells[4])).collect::<Vec<_>>();
        let expected = [
            "1 pi done",
            "3 other already current",
            "4 pi 2x already current",
            "5 pi done",
            "6 pi already current",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn verdicts_have_the_tones_of_the_deploys_that_they_are_of() {
        for (verdict, exit_code, tone) in [
            ("done", 0, Tone::Good),
            ("already_current", 0, Tone::Good),
            ("blessed", 0, Tone::Good),
            ("reboot_needed", 0, Tone::Attention),
            ("on_trial", 0, Tone::Attention),
            ("rolled_back", 10, Tone::Bad),
            ("unreachable", 12, Tone::Bad),
        ] {
            let mut numbered = deploy(1, "pi", "a", verdict);
            if let Receipt::Deploy(deploy) = &mut numbered.receipt {
                deploy.exit_code = exit_code;
            }
            assert_eq!(cells(&numbered, 1)[4], Cell::new(verdict.replace('_', " "), tone));
        }
    }
}
