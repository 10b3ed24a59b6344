//! A budget of bytes and time for reading foreign bytes. All readers of a card share one, so that no count, size or
//! cycle in the bytes makes them read longer.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::read_at::ReadAt;
use crate::bail;
use crate::base::Bytes;

/// The memory that one reader of foreign bytes may use at once, in bytes.
pub const MAX_MEMORY: u64 = 256 << 20;

/// The bytes that one inspection of a card may read. Bytes that are read twice count twice.
const MAX_BYTES: u64 = 1 << 30;

/// The time that one inspection of a card may take. A slow card is read at 1 MB/s.
const MAX_TIME: Duration = Duration::from_secs(300);

/// The longest time by which [`Budget::with_more_bytes`] extends a budget.
const MAX_EXTENSION: Duration = Duration::from_secs(86_400);

/// A flag that nobody sets, for [`Budget::without_stop`].
static NEVER: AtomicBool = AtomicBool::new(false);

/// The rest of a budget. All clones share it.
#[derive(Clone, Debug)]
pub struct Budget<'a> {
    /// All bytes of the budget, for messages.
    total: u64,
    /// The bytes that are not spent yet.
    left: Rc<Cell<u64>>,
    /// Whether a reader has failed for want of bytes or time.
    is_exhausted: Rc<Cell<bool>>,
    deadline: Instant,
    stop: &'a AtomicBool,
}

impl<'a> Budget<'a> {
    /// The budget for one inspection of a card. Once `stop` is set, every reader fails.
    pub fn new(stop: &'a AtomicBool) -> Self {
        let left = Rc::new(Cell::new(MAX_BYTES));
        let is_exhausted = Rc::default();
        Self { total: MAX_BYTES, left, is_exhausted, deadline: Instant::now() + MAX_TIME, stop }
    }

    /// The budget for a process that a signal ends: it needs no `stop`.
    pub fn without_stop() -> Self {
        Self::new(&NEVER)
    }

    /// The budget with `bytes` more, and with one second more for each MiB. An older clone gets the bytes, and not the
    /// time.
    #[must_use]
    pub fn with_more_bytes(mut self, bytes: u64) -> Self {
        self.deadline += Duration::from_secs(bytes >> 20).min(MAX_EXTENSION);
        self.total = self.total.saturating_add(bytes);
        self.left.set(self.left.get().saturating_add(bytes));
        self
    }

    /// Fails with `Interrupted` once `stop` is set.
    pub fn check_stop(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            bail!(Interrupted, "stopped while a file system was read");
        }
        Ok(())
    }

    /// Whether a reader has failed for want of bytes or time: what it read says nothing about the card.
    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted.get()
    }

    /// Takes `bytes` from the budget.
    ///
    /// # Errors
    /// `Verification` where the bytes or the time are spent, and `Interrupted` once `stop` is set.
    pub fn spend(&self, bytes: u64) -> Result<()> {
        self.check_stop()?;
        let Some(left) = self.left.get().checked_sub(bytes) else {
            self.is_exhausted.set(true);
            bail!(
                Verification,
                "the file system needs reads of more than the limit of {}: it is damaged or hostile",
                Bytes(self.total)
            );
        };
        if Instant::now() >= self.deadline {
            self.is_exhausted.set(true);
            bail!(
                Verification,
                "reading takes too long: the card is slow, or its file system damaged or hostile"
            );
        }
        self.left.set(left);
        Ok(())
    }
}

/// A region of a disk that is read within a budget.
#[derive(Debug)]
pub struct LimitedRegion<'a> {
    disk: &'a dyn ReadAt,
    /// The start, in bytes from the start of the disk.
    start: u64,
    size: u64,
    pub budget: Budget<'a>,
}

impl<'a> LimitedRegion<'a> {
    /// The `size` bytes of `disk` from `start` on.
    pub fn new(disk: &'a dyn ReadAt, start: u64, size: u64, budget: Budget<'a>) -> Self {
        Self { disk, start, size, budget }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `bytes` from byte `at` of this region on.
    ///
    /// # Errors
    /// Bytes beyond the end of the region, a spent budget, and a disk that cannot be read.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let count = bytes.len() as u64;
        self.budget.spend(count.max(1))?;
        if at.checked_add(count).is_none_or(|end| end > self.size) {
            bail!(Verification, "a structure points to byte {at}, beyond the end at byte {}", self.size);
        }
        let position = self.start.checked_add(at).context("the position on the disk exceeds 64 bits")?;
        let reading = || format!("reading {count} bytes at byte {position}");
        self.disk.fill(bytes, position).with_context(reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    #[test]
    fn a_budget_is_spent_by_all_who_share_it() {
        let stop = AtomicBool::new(false);
        let disk = tempfile::tempfile().unwrap();
        let budget = Budget::new(&stop);
        disk.set_len(1 << 20).unwrap();
        let part = LimitedRegion::new(&disk, 512, 1024, budget.clone());
        let mut bytes = [0; 512];
        budget.spend(MAX_BYTES - 512).unwrap();
        part.read(512, &mut bytes).unwrap();
        assert!(!budget.is_exhausted());
        let error = part.read(0, &mut bytes).unwrap_err();
        assert_eq!((kind(&error), budget.is_exhausted()), (ExitKind::Verification, true));
        let words = "the file system needs reads of more than the limit of 1.0 GiB: ";
        assert!(error.to_string().starts_with(words), "{error}");
        budget.with_more_bytes(512).spend(512).unwrap();
    }

    #[test]
    fn a_read_beyond_the_end_of_its_region_fails() {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(1 << 20).unwrap();
        let part = LimitedRegion::new(&disk, 512, 1024, Budget::without_stop());
        let mut bytes = [0; 512];
        part.read(512, &mut bytes).unwrap();
        for at in [513, u64::MAX] {
            let error = part.read(at, &mut bytes).unwrap_err().to_string();
            assert_eq!(error, format!("a structure points to byte {at}, beyond the end at byte 1024"));
        }
    }

    #[test]
    fn a_reading_that_takes_too_long_fails() {
        let budget = Budget { deadline: Instant::now(), ..Budget::without_stop() };
        let error = budget.spend(1).unwrap_err();
        assert_eq!(kind(&error), ExitKind::Verification);
        assert!(error.to_string().starts_with("reading takes too long: "), "{error}");
    }

    #[test]
    fn a_request_to_stop_ends_the_reading() {
        let stop = AtomicBool::new(false);
        let budget = Budget::new(&stop);
        budget.spend(1).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(kind(&budget.spend(1).unwrap_err()), ExitKind::Interrupted);
    }
}
