//! A fake card: bytes, and a fault at one position.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use fuser::Errno;

/// How a card misbehaves. Positions are in bytes; a transient fault has a number of times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DeviceFault {
    WriteFails(usize, Errno),
    /// The position cannot be read once it is written.
    ReadFails(usize, Errno),
    /// The position cannot be read until it is written.
    OldReadFails(usize, Errno),
    /// The write is acknowledged and lost.
    Lost(usize, u32),
    Flipped(usize, u32),
    /// Only the first half of a write of this position is written, and the short count is reported.
    Short(usize),
    /// Addresses from here on wrap around to the beginning, as on counterfeit cards.
    Wraps(usize),
    /// Writes from here on are acknowledged and dropped, as on other counterfeit cards.
    Drops(usize),
    /// Everything fails from the first write of this position on.
    Unplugged(usize, Errno),
    /// Everything fails from the first read of this position after its write on.
    UnpluggedReading(usize, Errno),
    /// The write of this position, or the first read after it, waits for [`FuseCard::release`].
    StallsWrite(usize),
    StallsRead(usize),
}

pub const ALWAYS: u32 = u32::MAX;

impl DeviceFault {
    /// The position of the fault, if it has one.
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
    /// Whether the position of the fault was written.
    written: bool,
    /// How often the fault has occurred.
    shown: u32,
    unplugged: Option<Errno>,
    stalled: bool,
}

pub struct FuseCard {
    state: Mutex<State>,
    changed: Condvar,
}

impl FuseCard {
    pub fn new(bytes: Vec<u8>, fault: DeviceFault) -> Self {
        let fault = Some(fault);
        let state = State { bytes, fault, written: false, shown: 0, unplugged: None, stalled: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    pub fn len(&self) -> usize {
        self.lock().bytes.len()
    }

    /// How often the fault has occurred, of those that are counted.
    pub fn occurrences(&self) -> u32 {
        self.lock().shown
    }

    /// Repairs the medium.
    pub fn repair(&self) {
        let mut state = self.lock();
        (state.fault, state.unplugged) = (None, None);
    }

    /// Ends a stall.
    pub fn release(&self) {
        let mut state = self.lock();
        if matches!(state.fault, Some(DeviceFault::StallsWrite(_) | DeviceFault::StallsRead(_))) {
            state.fault = None;
        }
        self.changed.notify_all();
    }

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

    pub fn read(&self, here: Range<usize>) -> Result<Vec<u8>, Errno> {
        let mut state = self.lock();
        let written = state.written;
        match state.fault_in(&here) {
            Some(DeviceFault::ReadFails(_, errno)) if written => return Err(errno),
            Some(DeviceFault::OldReadFails(_, errno)) if !written => return Err(errno),
            Some(DeviceFault::UnpluggedReading(_, errno)) if written => state.unplugged = Some(errno),
            Some(fault @ DeviceFault::StallsRead(_)) if written => state = self.stall(state, fault),
            _ => {}
        }
        state.plugged()?;
        let end = here.end.min(state.bytes.len());
        let ranges = state.ranges(here.start..end).into_iter();
        Ok(ranges.map(|range| &state.bytes[range]).collect::<Vec<_>>().concat())
    }

    /// Returns how many bytes were written.
    pub fn write(&self, here: Range<usize>, data: &[u8]) -> Result<usize, Errno> {
        let mut state = self.lock();
        let mut data = data.to_vec();
        if let Some(fault) = state.fault_in(&here) {
            state.written = true;
            match fault {
                DeviceFault::WriteFails(_, errno) => return Err(errno),
                DeviceFault::Unplugged(_, errno) => state.unplugged = Some(errno),
                DeviceFault::Lost(_, times) if state.shows(times) => return Ok(data.len()),
                DeviceFault::Flipped(at, times) if state.shows(times) => data[at - here.start] ^= 0x10,
                DeviceFault::Short(_) if data.len() > 512 && state.shows(ALWAYS) => {
                    data.truncate(data.len() / 1024 * 512);
                }
                DeviceFault::StallsWrite(_) => state = self.stall(state, fault),
                _ => {}
            }
        }
        state.plugged()?;
        let end = match state.fault {
            Some(DeviceFault::Drops(at)) => at.clamp(here.start, here.start + data.len()),
            _ => here.start + data.len(),
        };
        let mut rest = &data[..];
        for range in state.ranges(here.start..end) {
            let (now, later) = rest.split_at(range.len());
            state.bytes[range].copy_from_slice(now);
            rest = later;
        }
        Ok(data.len())
    }

    pub fn sync(&self) -> Result<(), Errno> {
        self.lock().plugged()
    }
}

impl State {
    fn plugged(&self) -> Result<(), Errno> {
        self.unplugged.map_or(Ok(()), Err)
    }

    /// The fault, if its position is in `here`.
    fn fault_in(&self, here: &Range<usize>) -> Option<DeviceFault> {
        self.fault.filter(|fault| here.contains(&fault.position()))
    }

    /// Whether the fault occurs: only the first `times` times.
    fn shows(&mut self, times: u32) -> bool {
        self.shown = self.shown.saturating_add(1);
        self.shown <= times
    }

    /// The positions on the medium of the bytes at these addresses, in order.
    fn ranges(&self, here: Range<usize>) -> Vec<Range<usize>> {
        let period = if let Some(DeviceFault::Wraps(at)) = self.fault { at } else { self.bytes.len() };
        let mut ranges = Vec::new();
        let mut at = here.start;
        while at < here.end {
            let start = at % period;
            let end = period.min(start + here.end - at);
            ranges.push(start..end);
            at += end - start;
        }
        ranges
    }
}
