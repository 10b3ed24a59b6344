//! A fake card: its bytes, and a fault at one position.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use fuser::Errno;

/// The fault of a card. The first number of each fault is its position in bytes; the second number of a transient
/// fault is the number of its occurrences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DeviceFault {
    /// The position cannot be written.
    WriteFails(usize, Errno),
    /// The position cannot be read once it is written.
    ReadFails(usize, Errno),
    /// The position cannot be read until it is written.
    OldReadFails(usize, Errno),
    /// The write is acknowledged and lost.
    Lost(usize, u32),
    /// The write changes a bit.
    Flipped(usize, u32),
    /// Of a write of this position that is longer than a sector, only the first half is written, and the short count is
    /// reported.
    Short(usize),
    /// Addresses from the position on wrap around to the beginning, as on counterfeit cards.
    Wraps(usize),
    /// Writes from the position on are acknowledged and dropped, as on other counterfeit cards.
    Drops(usize),
    /// Everything fails from the first write of this position on.
    Unplugged(usize, Errno),
    /// Everything fails from the first read of this position after its write on.
    UnpluggedReading(usize, Errno),
    /// The write of this position waits for [`FuseCard::release`].
    StallsWrite(usize),
    /// The first read of this position after its write waits for [`FuseCard::release`].
    StallsRead(usize),
}

/// The number of occurrences of a fault that is not transient.
pub const ALWAYS: u32 = u32::MAX;

impl DeviceFault {
    /// The position of the fault in bytes.
    fn position(self) -> usize {
        match self {
            Self::WriteFails(at, _)
            | Self::ReadFails(at, _)
            | Self::OldReadFails(at, _)
            | Self::Lost(at, _)
            | Self::Flipped(at, _)
            | Self::Short(at)
            | Self::Wraps(at)
            | Self::Drops(at)
            | Self::Unplugged(at, _)
            | Self::UnpluggedReading(at, _)
            | Self::StallsWrite(at)
            | Self::StallsRead(at) => at,
        }
    }
}

struct State {
    bytes: Vec<u8>,
    fault: Option<DeviceFault>,
    /// Whether a write has reached the position of the fault, even one that failed.
    written: bool,
    /// How often a counted fault has occurred.
    occurrences: u32,
    /// The error of all requests, once the card is unplugged.
    unplugged: Option<Errno>,
    /// Whether a request has stalled.
    stalled: bool,
}

/// A fake card, which several requests may use at once.
pub struct FuseCard {
    state: Mutex<State>,
    changed: Condvar,
}

impl FuseCard {
    pub fn new(bytes: Vec<u8>, fault: DeviceFault) -> Self {
        let fault = Some(fault);
        let state = State { bytes, fault, written: false, occurrences: 0, unplugged: None, stalled: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// The current content.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.lock().bytes.len()
    }

    /// How often the fault has occurred; 0 for faults that are not counted.
    pub fn occurrences(&self) -> u32 {
        self.lock().occurrences
    }

    /// Removes the fault, and plugs the card in.
    pub fn repair(&self) {
        let mut state = self.lock();
        state.fault = None;
        state.unplugged = None;
    }

    /// Ends a stall.
    pub fn release(&self) {
        let mut state = self.lock();
        if matches!(state.fault, Some(DeviceFault::StallsWrite(_) | DeviceFault::StallsRead(_))) {
            state.fault = None;
        }
        self.changed.notify_all();
    }

    /// Waits until a request has stalled.
    #[track_caller]
    pub fn wait_for_stall(&self) {
        let limit = Duration::from_secs(60);
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| !state.stalled);
        assert!(!waited.expect("no panic").1.timed_out(), "the position of the stall was never reached");
    }

    /// Waits until the stall of the fault ends.
    fn stall<'a>(&'a self, mut state: MutexGuard<'a, State>, fault: DeviceFault) -> MutexGuard<'a, State> {
        state.stalled = true;
        self.changed.notify_all();
        self.changed.wait_while(state, |state| state.fault == Some(fault)).expect("no panic")
    }

    /// Reads the bytes at `addresses`.
    pub fn read(&self, addresses: Range<usize>) -> Result<Vec<u8>, Errno> {
        let mut state = self.lock();
        let written = state.written;
        match state.fault_in(&addresses) {
            Some(DeviceFault::ReadFails(_, errno)) if written => return Err(errno),
            Some(DeviceFault::OldReadFails(_, errno)) if !written => return Err(errno),
            Some(DeviceFault::UnpluggedReading(_, errno)) if written => state.unplugged = Some(errno),
            Some(fault @ DeviceFault::StallsRead(_)) if written => state = self.stall(state, fault),
            _ => {}
        }
        state.check_plugged()?;
        let end = addresses.end.min(state.bytes.len());
        let ranges = state.ranges(addresses.start..end).into_iter();
        Ok(ranges.map(|range| &state.bytes[range]).collect::<Vec<_>>().concat())
    }

    /// Writes `data` at `addresses`, and returns the number of bytes that are reported as written.
    pub fn write(&self, addresses: Range<usize>, data: &[u8]) -> Result<usize, Errno> {
        let mut state = self.lock();
        let mut data = data.to_vec();
        if let Some(fault) = state.fault_in(&addresses) {
            state.written = true;
            match fault {
                DeviceFault::WriteFails(_, errno) => return Err(errno),
                DeviceFault::Unplugged(_, errno) => state.unplugged = Some(errno),
                DeviceFault::Lost(_, times) if state.occurs(times) => return Ok(data.len()),
                DeviceFault::Flipped(at, times) if state.occurs(times) => data[at - addresses.start] ^= 0x10,
                DeviceFault::Short(_) if data.len() > 512 && state.occurs(ALWAYS) => {
                    data.truncate(data.len() / 1024 * 512);
                }
                DeviceFault::StallsWrite(_) => state = self.stall(state, fault),
                _ => {}
            }
        }
        state.check_plugged()?;
        let end = match state.fault {
            Some(DeviceFault::Drops(at)) => at.clamp(addresses.start, addresses.start + data.len()),
            _ => addresses.start + data.len(),
        };
        let mut unwritten = &data[..];
        for range in state.ranges(addresses.start..end) {
            let (written, rest) = unwritten.split_at(range.len());
            state.bytes[range].copy_from_slice(written);
            unwritten = rest;
        }
        Ok(data.len())
    }

    /// Flushes the card, which fails once it is unplugged.
    pub fn sync(&self) -> Result<(), Errno> {
        self.lock().check_plugged()
    }
}

impl State {
    /// Fails once the card is unplugged.
    fn check_plugged(&self) -> Result<(), Errno> {
        self.unplugged.map_or(Ok(()), Err)
    }

    /// The fault, if its position is in `addresses`.
    fn fault_in(&self, addresses: &Range<usize>) -> Option<DeviceFault> {
        self.fault.filter(|fault| addresses.contains(&fault.position()))
    }

    /// Counts an occurrence of the fault, and returns whether it takes place: only the first `times` do.
    fn occurs(&mut self, times: u32) -> bool {
        self.occurrences = self.occurrences.saturating_add(1);
        self.occurrences <= times
    }

    /// The positions on the card of the bytes at `addresses`, in order.
    fn ranges(&self, addresses: Range<usize>) -> Vec<Range<usize>> {
        let period = if let Some(DeviceFault::Wraps(at)) = self.fault { at } else { self.bytes.len() };
        let mut ranges = Vec::new();
        let mut at = addresses.start;
        while at < addresses.end {
            let start = at % period;
            let end = period.min(start + addresses.end - at);
            ranges.push(start..end);
            at += end - start;
        }
        ranges
    }
}
