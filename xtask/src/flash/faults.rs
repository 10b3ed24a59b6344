//! The engine on cards in memory that misbehave: each fault ends in an error that says where, and in a
//! card that cannot boot.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use proptest::prelude::*;

use super::buffer::CHUNK;
use super::card::Card;
use super::engine::{Report, write_image};
use crate::failure::{Kind, kind};
use crate::ui::{Event, Reporter, Silent};

const MIB: u64 = CHUNK as u64;

/// What a card does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Transfers move at most 1000 bytes, and every third call is interrupted by a signal.
    Short,
    /// The write that touches this byte fails with this error number.
    WriteFails(u64, rustix::io::Errno),
    /// The read that touches this byte fails.
    ReadFails(u64),
    /// A write of this byte is acknowledged and lost.
    Lost(u64),
    /// The bit is flipped as it is written.
    Flipped(u64),
    /// Addresses from here on wrap around to the beginning, as counterfeit cards do.
    Wraps(u64),
    SyncFails,
    /// Reads, writes and syncs all fail after so many writes.
    Unplugged(u32),
}

struct MemoryCard {
    bytes: RefCell<Vec<u8>>,
    fault: Fault,
    calls: Cell<u32>,
    writes: Cell<u32>,
}

impl MemoryCard {
    fn new(size: u64, fault: Fault) -> Self {
        let bytes = RefCell::new(vec![0xee; usize::try_from(size).unwrap()]);
        Self { bytes, fault, calls: Cell::new(0), writes: Cell::new(0) }
    }

    fn len_now(&self, wanted: usize) -> io::Result<usize> {
        self.calls.set(self.calls.get() + 1);
        match self.fault {
            Fault::Short if self.calls.get().is_multiple_of(3) => Err(io::ErrorKind::Interrupted.into()),
            Fault::Short => Ok(wanted.min(1000)),
            Fault::Unplugged(after) if self.writes.get() > after => Err(rustix::io::Errno::NODEV.into()),
            _ => Ok(wanted),
        }
    }

    fn place(&self, offset: u64) -> usize {
        let place = if let Fault::Wraps(at) = self.fault { offset % at } else { offset };
        usize::try_from(place).unwrap()
    }

    fn head_is_blank(&self) -> bool {
        self.bytes.borrow()[..CHUNK].iter().all(|byte| *byte == 0)
    }
}

impl Card for MemoryCard {
    fn size(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = self.len_now(buffer.len())?;
        let here = offset..offset + len as u64;
        if matches!(self.fault, Fault::ReadFails(at) if here.contains(&at)) {
            return Err(rustix::io::Errno::IO.into());
        }
        let start = self.place(offset);
        buffer[..len].copy_from_slice(&self.bytes.borrow()[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        self.writes.set(self.writes.get() + 1);
        let len = self.len_now(buffer.len())?;
        let here = offset..offset + len as u64;
        let mut bytes = buffer[..len].to_vec();
        match self.fault {
            Fault::WriteFails(at, errno) if here.contains(&at) => return Err(errno.into()),
            Fault::Lost(at) if here.contains(&at) => return Ok(len),
            Fault::Flipped(at) if here.contains(&at) => bytes[usize::try_from(at - offset).unwrap()] ^= 4,
            _ => {}
        }
        let start = self.place(offset);
        self.bytes.borrow_mut()[start..start + len].copy_from_slice(&bytes);
        Ok(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.len_now(0)?;
        if self.fault == Fault::SyncFails { Err(rustix::io::Errno::IO.into()) } else { Ok(()) }
    }

    fn forget(&self) -> io::Result<()> {
        Ok(())
    }
}

fn image(size: u64) -> Vec<u8> {
    (0..size).map(|at| u8::try_from((at / 512 + at) % 251).unwrap()).collect()
}

fn flash(card: &MemoryCard, image: &[u8]) -> Result<Report> {
    let known = (image.len() as u64, blake3::hash(image));
    write_image(card, image, known, &Silent, &AtomicBool::new(false))
}

#[test]
fn honest_cards_hold_the_image_and_nothing_at_their_end() {
    for (fault, size, room) in [
        (Fault::None, 5 * MIB + 512, 9 * MIB),
        (Fault::None, 3 * MIB, 3 * MIB),
        (Fault::None, 3 * MIB - 512, 3 * MIB),
        (Fault::None, 512, MIB),
        (Fault::Short, 2 * MIB + 1024, 4 * MIB),
    ] {
        let (card, image) = (MemoryCard::new(room, fault), image(size));
        let report = flash(&card, &image).unwrap();
        assert_eq!((report.size, report.hash), (size, blake3::hash(&image)));
        let bytes = card.bytes.borrow();
        assert!(bytes.starts_with(&image), "{fault:?} {size} {room}");
        let tail = image.len().max(bytes.len() - CHUNK);
        assert!(bytes[tail..].iter().all(|byte| *byte == 0), "{fault:?} {size} {room}");
    }
}

#[test]
fn every_fault_is_told_and_leaves_a_blank_head() {
    let (image, blank) = (image(6 * MIB), "the first MiB of the card is blank");
    for (fault, expected_kind, text) in [
        (Fault::WriteFails(3 * MIB + 5, rustix::io::Errno::IO), Kind::Io, "writing the card at byte 3145728"),
        (Fault::WriteFails(3 * MIB, rustix::io::Errno::NOSPC), Kind::Io, "it holds less than it says"),
        (Fault::ReadFails(4 * MIB), Kind::Io, "reading the card at byte 4194304"),
        (Fault::Lost(2 * MIB), Kind::Verification, "1 of 5 MiB read back wrong, at byte 2097152"),
        (Fault::Flipped(5 * MIB + 9), Kind::Verification, "1 of 5 MiB read back wrong, at byte 5242880"),
        (Fault::Wraps(4 * MIB), Kind::Verification, "read back wrong, at byte"),
    ] {
        let card = MemoryCard::new(8 * MIB, fault);
        let error = flash(&card, &image).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(text) && said.contains(blank), "{fault:?}: {said}");
        assert_eq!(kind(&error), expected_kind, "{fault:?}: {said}");
        assert!(card.head_is_blank(), "{fault:?}");
    }
}

#[test]
fn where_even_the_head_cannot_be_blanked_that_is_said() {
    for (fault, text) in [
        (Fault::WriteFails(7, rustix::io::Errno::PERM), "is its write-protect switch on?"),
        (Fault::SyncFails, "syncing the card"),
        (Fault::Unplugged(4), "was it unplugged?"),
        (Fault::Lost(0), "the card does not hold what was written at byte 0"),
        (Fault::Flipped(9), "the card does not hold what was written at byte 0"),
    ] {
        let error = flash(&MemoryCard::new(8 * MIB, fault), &image(6 * MIB)).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(text), "{fault:?}: {said}");
        assert!(said.contains("could not be blanked: do not boot from it"), "{fault:?}: {said}");
    }
}

#[test]
fn an_image_that_changes_under_way_is_noticed() {
    let (card, image) = (MemoryCard::new(8 * MIB, Fault::None), image(3 * MIB));
    let hash = blake3::hash(&image);
    for (stream, size, text) in [
        (&image[..], 2 * MIB, "has grown"),
        (&image[..], 4 * MIB, "has become shorter"),
        (&[&image[..512], &image[..(3 * CHUNK - 512)]].concat(), 3 * MIB, "is not the one that was checked"),
    ] {
        let error = write_image(&card, stream, (size, hash), &Silent, &AtomicBool::new(false)).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert!(card.head_is_blank());
    }
}

#[test]
fn an_image_that_does_not_fit_changes_nothing() {
    let card = MemoryCard::new(2 * MIB, Fault::None);
    let error = flash(&card, &image(3 * MIB)).unwrap_err();
    assert_eq!(error.to_string(), "the image has 3145728 bytes and the card only 2097152");
    assert!(card.bytes.borrow().iter().all(|byte| *byte == 0xee));
}

/// Sets the flag when the phase of this name begins.
struct CancelAt<'a>(&'a str, &'a AtomicBool);

impl Reporter for CancelAt<'_> {
    fn report(&self, event: &Event) {
        if matches!(event, Event::Phase { name, .. } if name == self.0) {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn stopping_in_any_phase_leaves_a_blank_head() {
    let image = image(3 * MIB);
    for phase in ["write", "verify"] {
        let (card, cancel) = (MemoryCard::new(4 * MIB, Fault::None), AtomicBool::new(false));
        let known = (3 * MIB, blake3::hash(&image));
        let error = write_image(&card, &image[..], known, &CancelAt(phase, &cancel), &cancel).unwrap_err();
        assert_eq!(kind(&error), Kind::Interrupted);
        assert!(error.to_string().contains("will not boot; run the same command again"), "{error}");
        assert!(card.head_is_blank());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_image_on_any_card_that_is_large_enough(sectors in 1..9000u64, more in 0..5000u64, short: bool) {
        let fault = if short { Fault::Short } else { Fault::None };
        let (card, image) = (MemoryCard::new((sectors + more) * 512, fault), image(sectors * 512));
        flash(&card, &image).unwrap();
        prop_assert!(card.bytes.borrow().starts_with(&image));
    }
}
