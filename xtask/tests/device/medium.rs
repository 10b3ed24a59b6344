//! What is behind a card that fails on demand: bytes, and a fault that shows itself at one place.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use fuser::Errno;

/// What a card does wrong. Places are in bytes, numbers of times for faults that pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    WriteFails(usize, Errno),
    /// The place cannot be read once it is written.
    ReadFails(usize, Errno),
    /// The place cannot be read until it is written.
    OldReadFails(usize, Errno),
    /// The write is acknowledged and does not happen.
    Lost(usize, u32),
    Flipped(usize, u32),
    /// Of a write of this place only the first half is taken, and so it is said.
    Short(usize),
    /// Addresses from here on begin anew, as on counterfeit cards.
    Wraps(usize),
    /// What is written from here on is acknowledged and dropped, as on other counterfeit cards.
    Drops(usize),
    /// All fails from the first write of this place on.
    Unplugged(usize, Errno),
    /// All fails from the first read of this place on that follows the write.
    UnpluggedReading(usize, Errno),
    /// The write of this place, or the first read of it that follows, waits for [`Medium::release`].
    StallsWrite(usize),
    StallsRead(usize),
}

pub const ALWAYS: u32 = u32::MAX;

impl Fault {
    /// The place, for the faults that have one.
    fn place(self) -> usize {
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
    fault: Option<Fault>,
    /// The place of the fault was written.
    written: bool,
    /// How often the fault has shown itself.
    shown: u32,
    unplugged: Option<Errno>,
    stalled: bool,
}

pub struct Medium {
    state: Mutex<State>,
    changed: Condvar,
}

impl Medium {
    pub fn new(bytes: Vec<u8>, fault: Fault) -> Self {
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

    /// How often the fault has shown itself, of those that are counted.
    pub fn shown(&self) -> u32 {
        self.lock().shown
    }

    /// Makes it a good card again.
    pub fn mend(&self) {
        let mut state = self.lock();
        (state.fault, state.unplugged) = (None, None);
    }

    /// Ends a stall.
    pub fn release(&self) {
        let mut state = self.lock();
        if matches!(state.fault, Some(Fault::StallsWrite(_) | Fault::StallsRead(_))) {
            state.fault = None;
        }
        self.changed.notify_all();
    }

    #[track_caller]
    pub fn wait_for_stall(&self) {
        let limit = Duration::from_secs(60);
        let waited = self.changed.wait_timeout_while(self.lock(), limit, |state| !state.stalled);
        assert!(!waited.expect("no panic").1.timed_out(), "the place of the stall was never reached");
    }

    /// Waits as long as the fault is to stall.
    fn stall<'a>(&'a self, mut state: MutexGuard<'a, State>, fault: Fault) -> MutexGuard<'a, State> {
        state.stalled = true;
        self.changed.notify_all();
        self.changed.wait_while(state, |state| state.fault == Some(fault)).expect("no panic")
    }

    pub fn read(&self, here: Range<usize>) -> Result<Vec<u8>, Errno> {
        let mut state = self.lock();
        let written = state.written;
        match state.fault_in(&here) {
            Some(Fault::ReadFails(_, errno)) if written => return Err(errno),
            Some(Fault::OldReadFails(_, errno)) if !written => return Err(errno),
            Some(Fault::UnpluggedReading(_, errno)) if written => state.unplugged = Some(errno),
            Some(fault @ Fault::StallsRead(_)) if written => state = self.stall(state, fault),
            _ => {}
        }
        state.plugged()?;
        let end = here.end.min(state.bytes.len());
        let places = state.places(here.start..end).into_iter();
        Ok(places.map(|place| &state.bytes[place]).collect::<Vec<_>>().concat())
    }

    /// Returns how many bytes were taken.
    pub fn write(&self, here: Range<usize>, data: &[u8]) -> Result<usize, Errno> {
        let (mut state, mut data) = (self.lock(), data.to_vec());
        if let Some(fault) = state.fault_in(&here) {
            state.written = true;
            match fault {
                Fault::WriteFails(_, errno) => return Err(errno),
                Fault::Unplugged(_, errno) => state.unplugged = Some(errno),
                Fault::Lost(_, times) if state.shows(times) => return Ok(data.len()),
                Fault::Flipped(at, times) if state.shows(times) => data[at - here.start] ^= 0x10,
                Fault::Short(_) if data.len() > 512 && state.shows(ALWAYS) => {
                    data.truncate(data.len() / 1024 * 512);
                }
                Fault::StallsWrite(_) => state = self.stall(state, fault),
                _ => {}
            }
        }
        state.plugged()?;
        let end = match state.fault {
            Some(Fault::Drops(at)) => at.clamp(here.start, here.start + data.len()),
            _ => here.start + data.len(),
        };
        let mut rest = &data[..];
        for place in state.places(here.start..end) {
            let (now, later) = rest.split_at(place.len());
            state.bytes[place].copy_from_slice(now);
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

    /// The fault, if its place is in `here`.
    fn fault_in(&self, here: &Range<usize>) -> Option<Fault> {
        self.fault.filter(|fault| here.contains(&fault.place()))
    }

    /// Whether the fault shows itself, the first `times` times.
    fn shows(&mut self, times: u32) -> bool {
        self.shown = self.shown.saturating_add(1);
        self.shown <= times
    }

    /// Where on the medium the bytes of these addresses are, in order.
    fn places(&self, here: Range<usize>) -> Vec<Range<usize>> {
        let period = if let Some(Fault::Wraps(at)) = self.fault { at } else { self.bytes.len() };
        let (mut places, mut at) = (Vec::new(), here.start);
        while at < here.end {
            let start = at % period;
            let end = period.min(start + here.end - at);
            places.push(start..end);
            at += end - start;
        }
        places
    }
}
