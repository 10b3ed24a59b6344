//! Waiting for a card: only a medium that was not there before is a candidate, so that whatever is
//! plugged in already is safe whatever it is called.

use std::time::Duration;

use anyhow::Result;

use super::load::present;
use super::refusals::other_than_awaited;
use super::sysfs::Node;
use super::{Disk, Number, Request, Roots, udev};
use crate::base::failure::ExitKind as Failure;
use crate::base::{Event, Reporter, interrupt};

const PAUSE: Duration = Duration::from_millis(200);

/// So many looks, 5 s, are spent on a card whose partitions, or whose entry in udev's database, do not
/// show: some kernels do not scan partition tables, and some udevs do not run.
const MAX_SCANS: usize = 25;

const PROMPT: &str = "insert the card (Ctrl-C stops); one that is in already is not taken: \
    pull it out and insert it again";

/// Waits until a card has come that may be the one of `request`, and says meanwhile what has come
/// instead. The other checks of `request` are left to the caller.
///
/// # Errors
/// Two cards at once, between which nothing is chosen, and the request to stop.
pub fn await_card(roots: &Roots, request: &Request, reporter: &dyn Reporter) -> Result<Disk> {
    let hold = interrupt::guard()?;
    let mut arrivals = Arrivals::begin(roots, request)?;
    reporter.report(&Event::note(PROMPT));
    reporter.report(&Event::Phase { name: "wait".into(), total: None, bytes: false });
    while !hold.requested() {
        let Look { passed_over, card } = arrivals.look()?;
        for text in passed_over {
            reporter.report(&Event::note(text));
        }
        if let Some(card) = card {
            reporter.report(&Event::PhaseEnded);
            return Ok(card);
        }
        std::thread::sleep(PAUSE);
    }
    Err(Failure::Interrupted.error("stopped; nothing was written"))
}

/// One medium in one drive. The kernel counts media, so another card in the same reader is another
/// one; where it does not (before 5.15), the empty reader in between is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Medium {
    name: String,
    number: Option<Number>,
    diskseq: Option<u64>,
}

impl Medium {
    fn of(node: &Node) -> Self {
        Self { name: node.name(), number: node.device_number(), diskseq: node.number("diskseq") }
    }
}

/// What has come since the beginning.
struct Arrivals<'a> {
    roots: &'a Roots,
    request: &'a Request,
    /// What was there at the beginning and has been there ever since.
    before: Vec<Medium>,
    /// What was passed over, with the words for it.
    told: Vec<(Medium, String)>,
    /// The card that is settling, and how often it was looked at.
    coming: Option<(Disk, usize)>,
}

/// What one look at the machine has brought.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look {
    /// In words: what came and is no candidate. Each is told once.
    passed_over: Vec<String>,
    card: Option<Disk>,
}

impl<'a> Arrivals<'a> {
    fn begin(roots: &'a Roots, request: &'a Request) -> Result<Self> {
        let before = present(roots)?.iter().map(Medium::of).collect();
        Ok(Self { roots, request, before, told: Vec::new(), coming: None })
    }

    fn look(&mut self) -> Result<Look> {
        let now = present(self.roots)?.iter().map(Medium::of).collect::<Vec<_>>();
        self.before.retain(|medium| now.contains(medium));
        let mut look = Look::default();
        let mut cards = Vec::new();
        for medium in now.into_iter().filter(|medium| !self.before.contains(medium)).collect::<Vec<_>>() {
            // It may be gone again.
            let Some(disk) = medium.number.and_then(|number| Disk::by_number(self.roots, number).ok()) else {
                continue;
            };
            match other_than_awaited(&disk, self.request) {
                Some(refusal) => look.passed_over.extend(self.pass_over(medium, &refusal.reason)),
                None => cards.push(disk),
            }
        }
        look.card = self.settled(one_of(cards)?);
        Ok(look)
    }

    fn pass_over(&mut self, medium: Medium, reason: &str) -> Option<String> {
        let told = (medium, format!("{reason}; still waiting"));
        if self.told.contains(&told) {
            return None;
        }
        self.told.push(told.clone());
        Some(told.1)
    }

    /// `card`, once it looks the same twice and everything that is expected of it shows.
    fn settled(&mut self, card: Option<Disk>) -> Option<Disk> {
        let before = self.coming.take();
        let card = card?;
        let (same, looks) = match before {
            Some((last, looks)) if last.same_as(&card).is_ok() => (last == card, looks + 1),
            _ => (false, 1),
        };
        if same && (looks > MAX_SCANS || is_complete(self.roots, &card)) {
            return Some(card);
        }
        self.coming = Some((card, looks));
        None
    }
}

/// The kernel has scanned the partition table, and udev has looked.
fn is_complete(roots: &Roots, card: &Disk) -> bool {
    let scanned = card.partitions.iter().all(|part| part.name.is_some() || part.number == 0);
    // Virtual cards are mostly attached without their partitions.
    (scanned || card.kind.is_virtual()) && udev::has_looked(roots, card.number)
}

fn one_of(mut cards: Vec<Disk>) -> Result<Option<Disk>> {
    let [first, second, ..] = cards.as_slice() else { return Ok(cards.pop()) };
    let (first, second) = (first.path.display(), second.path.display());
    let text = format!(
        "{first} and {second} have come at once, and only you know which one is meant; \
         nothing was written; leave the other one out, or name the device"
    );
    Err(Failure::Refused.error(text))
}

#[cfg(test)]
mod tests;
