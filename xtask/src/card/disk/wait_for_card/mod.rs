//! Waiting for a card: only a medium that is inserted after the prompt is a candidate, so that every medium that was
//! there before is safe, whatever its name.

use std::time::Duration;

use anyhow::Result;

use super::load::present;
use super::refusals::not_awaited;
use super::sysfs::BlockDevice;
use super::{DeviceNumber, Disk, Request, Roots, udev};
use crate::bail;
use crate::base::{Event, Reporter, interrupt};

const SCAN_INTERVAL: Duration = Duration::from_millis(200);

/// The number of scans, 5 s, that wait for the partitions of a card and its entry in udev's database: some kernels do
/// not scan partition tables, and some udevs do not run.
const MAX_SCANS: usize = 25;

const PROMPT: &str = "insert the card (Ctrl-C stops); a card that is already in is ignored: \
    remove it and insert it again";

/// Waits until a card is inserted that may be the card of `request`, and reports each other medium that is inserted
/// meanwhile. The caller makes the other checks of `request`.
///
/// # Errors
/// Two cards at once, and the request to stop.
pub fn await_card(roots: &Roots, request: &Request, reporter: &dyn Reporter) -> Result<Disk> {
    let hold = interrupt::guard()?;
    let mut scanner = Scanner::begin(roots, request)?;
    reporter.report(&Event::note(PROMPT));
    reporter.report(&Event::Phase { name: "wait".into(), total: None, bytes: false });
    while !hold.is_stop_requested() {
        let Scan { ignored, card } = scanner.scan()?;
        for text in ignored {
            reporter.report(&Event::note(text));
        }
        if let Some(card) = card {
            reporter.report(&Event::PhaseEnded);
            return Ok(card);
        }
        std::thread::sleep(SCAN_INTERVAL);
    }
    bail!(Interrupted, "stopped; nothing was written")
}

/// One medium in one drive. The kernel counts media in `diskseq`, so that another card in the same reader is another
/// medium. Kernels before 5.15 do not count: there a scan sees the empty reader between two cards.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Medium {
    name: String,
    number: Option<DeviceNumber>,
    diskseq: Option<u64>,
}

impl Medium {
    fn of(device: &BlockDevice) -> Self {
        Self { name: device.name(), number: device.device_number(), diskseq: device.number("diskseq") }
    }
}

/// Scans for media that were inserted after [`Self::begin`].
struct Scanner<'a> {
    roots: &'a Roots,
    request: &'a Request,
    /// The media that have been there since the beginning.
    before: Vec<Medium>,
    /// The ignored media, each with its note.
    ignored: Vec<(Medium, String)>,
    /// The card that the kernel and udev still process, and the number of scans that have seen it.
    pending: Option<(Disk, usize)>,
}

/// The result of one scan.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scan {
    /// Notes on new media that are no candidates, one for each medium in its first scan.
    ignored: Vec<String>,
    card: Option<Disk>,
}

impl<'a> Scanner<'a> {
    fn begin(roots: &'a Roots, request: &'a Request) -> Result<Self> {
        let before = present(roots)?.iter().map(Medium::of).collect();
        Ok(Self { roots, request, before, ignored: Vec::new(), pending: None })
    }

    fn scan(&mut self) -> Result<Scan> {
        let now = present(self.roots)?.iter().map(Medium::of).collect::<Vec<_>>();
        self.before.retain(|medium| now.contains(medium));
        let mut scan = Scan::default();
        let mut cards = Vec::new();
        for medium in now.into_iter().filter(|medium| !self.before.contains(medium)).collect::<Vec<_>>() {
            // The medium may be gone again.
            let Some(disk) = medium.number.and_then(|number| Disk::by_number(self.roots, number).ok()) else {
                continue;
            };
            match not_awaited(&disk, self.request) {
                Some(refusal) => scan.ignored.extend(self.ignore(medium, &refusal.reason)),
                None => cards.push(disk),
            }
        }
        scan.card = self.take_if_ready(at_most_one(cards)?);
        Ok(scan)
    }

    /// The note on an ignored medium; `None` where it was reported already.
    fn ignore(&mut self, medium: Medium, reason: &str) -> Option<String> {
        let note = format!("{reason}; still waiting");
        let ignored = (medium, note.clone());
        if self.ignored.contains(&ignored) {
            return None;
        }
        self.ignored.push(ignored);
        Some(note)
    }

    /// Returns `card` if the scan before found it unchanged, and it is complete or more than [`MAX_SCANS`] scans have
    /// seen it; else keeps it as pending.
    fn take_if_ready(&mut self, card: Option<Disk>) -> Option<Disk> {
        let pending = self.pending.take();
        let card = card?;
        let (unchanged, scans) = match pending {
            Some((last, scans)) if last.same_as(&card).is_ok() => (last == card, scans + 1),
            _ => (false, 1),
        };
        if unchanged && (scans > MAX_SCANS || is_complete(self.roots, &card)) {
            return Some(card);
        }
        self.pending = Some((card, scans));
        None
    }
}

/// Whether the kernel has scanned the partition table of `card` and udev has processed the card.
fn is_complete(roots: &Roots, card: &Disk) -> bool {
    let scanned = card.partitions.iter().all(|part| part.name.is_some() || part.number == 0);
    // Virtual cards are mostly attached without their partitions.
    (scanned || card.kind.is_virtual()) && udev::has_processed(roots, card.number)
}

fn at_most_one(mut cards: Vec<Disk>) -> Result<Option<Disk>> {
    let [first, second, ..] = cards.as_slice() else { return Ok(cards.pop()) };
    bail!(
        Refused,
        "{} and {} were inserted at the same time; nothing was written",
        first.path.display(),
        second.path.display();
        hint: "insert only one, or name the device"
    )
}

#[cfg(test)]
mod tests;
