//! Waiting for a card: only a medium that is inserted after the prompt is a candidate, so that every medium that was
//! there before is safe, whatever its name.

use std::time::Duration;

use anyhow::Result;

use super::load::present_devices;
use super::refusals::awaited_card_refusal;
use super::sysfs::BlockDevice;
use super::{DeviceNumber, Disk, Request, Roots, udev};
use crate::bail;
use crate::base::{Event, Reporter, RunningPhase, interrupt};

const SCAN_INTERVAL: Duration = Duration::from_millis(200);

/// The number of scans (5 s) after which a card is taken without its partitions and its entry in udev's database: some
/// kernels do not scan partition tables, and some machines have a udev that does not run.
const MAX_SCANS: usize = 25;

const PROMPT: &str = "insert the card (Ctrl-C stops); a card that is already in is ignored: \
    remove it and insert it again";

/// Waits until a card is inserted that may be the card of `request`, and reports each other medium that is inserted
/// meanwhile. The caller makes the other checks of `request`.
///
/// # Errors
/// Two cards that are inserted at once, and an interrupt by the user.
pub fn await_card(roots: &Roots, request: &Request, reporter: &dyn Reporter) -> Result<Disk> {
    let interrupts = interrupt::guard()?;
    let mut scanner = Scanner::begin(roots, request)?;
    reporter.report(&Event::note(PROMPT));
    let _waiting = RunningPhase::begin(reporter, "wait");
    while !interrupts.is_stop_requested() {
        let Scan { ignored, card } = scanner.scan()?;
        for text in ignored {
            reporter.report(&Event::note(text));
        }
        if let Some(card) = card {
            return Ok(card);
        }
        std::thread::sleep(SCAN_INTERVAL);
    }
    bail!(Interrupted, "stopped; no card was written")
}

/// One medium in one drive. The kernel counts media in `diskseq`, so that another card in the same reader is another
/// medium. Kernels before 5.15 do not count media: there a scan sees the empty reader between two cards.
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
    /// The media that have been in their drives since [`Self::begin`].
    before: Vec<Medium>,
    /// The ignored media, each with its note.
    ignored: Vec<(Medium, String)>,
    /// The card of the previous scan, which was not ready yet, and the number of scans that have seen it.
    pending: Option<(Disk, usize)>,
}

/// The result of one scan.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scan {
    /// Notes on new media that are no candidates; none for a medium that an earlier scan ignored for the same reason.
    ignored: Vec<String>,
    card: Option<Disk>,
}

impl<'a> Scanner<'a> {
    /// Remembers the media that are in their drives now.
    fn begin(roots: &'a Roots, request: &'a Request) -> Result<Self> {
        let before = media(roots)?;
        Ok(Self { roots, request, before, ignored: Vec::new(), pending: None })
    }

    /// Scans the drives once. Fails where there are two new cards.
    fn scan(&mut self) -> Result<Scan> {
        let now = media(self.roots)?;
        self.before.retain(|medium| now.contains(medium));
        let mut scan = Scan::default();
        let mut cards = Vec::new();
        for medium in now {
            if self.before.contains(&medium) {
                continue;
            }
            // The medium may be gone again.
            let Some(disk) = medium.number.and_then(|number| Disk::by_number(self.roots, number).ok()) else {
                continue;
            };
            match awaited_card_refusal(&disk, self.request) {
                Some(refusal) => scan.ignored.extend(self.ignore(medium, &refusal.reason)),
                None => cards.push(disk),
            }
        }
        scan.card = self.take_if_ready(at_most_one(cards)?);
        Ok(scan)
    }

    /// Remembers that `medium` is ignored for `reason`, and returns the note on it; `None` where it was reported
    /// already.
    fn ignore(&mut self, medium: Medium, reason: &str) -> Option<String> {
        let note = format!("{reason}; still waiting");
        let ignored = (medium, note.clone());
        if self.ignored.contains(&ignored) {
            return None;
        }
        self.ignored.push(ignored);
        Some(note)
    }

    /// Returns `card` if it has not changed since the previous scan, and it is complete or more than [`MAX_SCANS`]
    /// scans have seen it; else keeps it as pending.
    fn take_if_ready(&mut self, card: Option<Disk>) -> Option<Disk> {
        let pending = self.pending.take();
        let card = card?;
        let (is_unchanged, scans) = match pending {
            Some((last, scans)) if last.require_same(&card).is_ok() => (last == card, scans + 1),
            _ => (false, 1),
        };
        if is_unchanged && (scans > MAX_SCANS || is_complete(self.roots, &card)) {
            return Some(card);
        }
        self.pending = Some((card, scans));
        None
    }
}

/// The media that are in their drives now.
fn media(roots: &Roots) -> Result<Vec<Medium>> {
    Ok(present_devices(roots)?.iter().map(Medium::of).collect())
}

/// Whether the kernel has scanned the partition table of `card` and udev has processed the card.
fn is_complete(roots: &Roots, card: &Disk) -> bool {
    let is_scanned = card.partitions.iter().all(|part| part.name.is_some() || part.number == 0);
    // Virtual cards are mostly attached without their partitions.
    (is_scanned || card.kind.is_virtual()) && udev::has_processed(roots, card.number)
}

/// The only card of `cards`, or none. Fails where there are several.
fn at_most_one(mut cards: Vec<Disk>) -> Result<Option<Disk>> {
    let [first, second, ..] = cards.as_slice() else { return Ok(cards.pop()) };
    bail!(
        Refused(Ambiguous),
        "{} and {} were inserted at the same time; nothing was written",
        first.path.display(),
        second.path.display();
        hint: "insert only one, or name the device"
    )
}

#[cfg(test)]
mod tests;
