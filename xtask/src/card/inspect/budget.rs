//! What the reading of foreign bytes may cost. Every reader of a file system takes it from one budget, so that no
//! count, size, or cycle in what is read makes it longer.

use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::base::Bytes;
use crate::base::failure::ExitKind;

/// The memory that one reader of foreign bytes may take at once, in bytes.
pub const MEMORY: u64 = 256 << 20;

/// How much one look at a card reads, in bytes; what is read twice counts twice.
const BYTES: u64 = 1 << 30;

/// How long one look at a card takes. A slow card is read with 1 MB/s.
const TIME: Duration = Duration::from_secs(300);

/// Nothing that is put on a card takes longer.
const LONGEST: Duration = Duration::from_secs(86_400);

static NEVER: AtomicBool = AtomicBool::new(false);

/// What is left of a budget. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget<'a> {
    bytes: u64,
    left: Rc<Cell<u64>>,
    until: Instant,
    stop: &'a AtomicBool,
}

impl<'a> Budget<'a> {
    /// For one look at a card. `stop` ends it at once.
    pub fn new(stop: &'a AtomicBool) -> Self {
        Self { bytes: BYTES, left: Rc::new(Cell::new(BYTES)), until: Instant::now() + TIME, stop }
    }

    /// For a process that a signal ends.
    pub fn unattended() -> Self {
        Self::new(&NEVER)
    }

    /// With room for `bytes` more, and the time that they take.
    #[must_use]
    pub fn with(mut self, bytes: u64) -> Self {
        self.until += Duration::from_secs(bytes >> 20).min(LONGEST);
        self.bytes = self.bytes.saturating_add(bytes);
        self.left.set(self.left.get().saturating_add(bytes));
        self
    }

    /// Takes `bytes` from the budget.
    ///
    /// # Errors
    /// Of [`ExitKind::Verification`] where it is spent, and of [`ExitKind::Interrupted`] once it is to stop.
    pub fn spend(&self, bytes: u64) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(ExitKind::Interrupted.error("stopped while a file system was read"));
        }
        let left = self.left.get().checked_sub(bytes);
        let Some(left) = left.filter(|_| Instant::now() < self.until) else {
            let most = Bytes(self.bytes);
            let text = format!(
                "reading it takes more than {most}, or too long: it is damaged, or made to take long"
            );
            return Err(ExitKind::Verification.error(text));
        };
        self.left.set(left);
        Ok(())
    }
}

/// A part of a disk that is read within a budget.
#[derive(Debug)]
pub struct Limited<'a> {
    disk: &'a File,
    /// In bytes from the beginning of the disk.
    start: u64,
    size: u64,
    pub budget: Budget<'a>,
}

impl<'a> Limited<'a> {
    /// The `size` bytes of `disk` from `start` on.
    pub fn new(disk: &'a File, start: u64, size: u64, budget: Budget<'a>) -> Self {
        Self { disk, start, size, budget }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `bytes` with what begins at byte `at` of this part.
    ///
    /// # Errors
    /// Bytes beyond its end, a budget that is spent, and a disk that cannot be read.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let count = bytes.len() as u64;
        self.budget.spend(count.max(1))?;
        if at.checked_add(count).is_none_or(|end| end > self.size) {
            let text = format!("something in it is said to be at byte {at}, beyond its end at {}", self.size);
            return Err(ExitKind::Verification.error(text));
        }
        let at = self.start.checked_add(at).context("its end is beyond all numbers")?;
        self.disk.read_exact_at(bytes, at).with_context(|| format!("reading {count} bytes at byte {at}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_by_all_who_share_it() {
        let stop = AtomicBool::new(false);
        let (disk, budget) = (tempfile::tempfile().unwrap(), Budget::new(&stop));
        disk.set_len(1 << 20).unwrap();
        let part = Limited::new(&disk, 512, 1024, budget.clone());
        let mut bytes = [0; 512];
        part.read(512, &mut bytes).unwrap();
        for at in [513, u64::MAX] {
            let error = part.read(at, &mut bytes).unwrap_err().to_string();
            assert_eq!(error, format!("something in it is said to be at byte {at}, beyond its end at 1024"));
        }
        budget.spend(BYTES - 4 * 512).unwrap();
        part.read(0, &mut bytes).unwrap();
        let error = part.read(0, &mut bytes).unwrap_err();
        assert_eq!(crate::base::failure::kind(&error), ExitKind::Verification);
        assert!(error.to_string().starts_with("reading it takes more than 1.0 GiB, or too long"), "{error}");
        budget.with(512).spend(512).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(crate::base::failure::kind(&part.read(0, &mut bytes).unwrap_err()), ExitKind::Interrupted);
    }
}
