//! One flash under way, as all its steps see it.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::buffer::CHUNK;
use super::card_io::CardIo;
use super::delta::Mode;
use crate::base::Reporter;
use crate::base::failure::ExitKind;

/// An image that can be read more than once: what a card does not keep is written again.
pub struct Content<'a> {
    /// In bytes.
    pub size: u64,
    /// The hash of its content, if it was read to its end before.
    pub hash: Option<blake3::Hash>,
    pub open: &'a (dyn Fn() -> Result<Box<dyn Read + Send>> + Sync),
}

/// What is to be done to which card, and who is told.
pub struct Task<'a> {
    pub card_io: &'a CardIo<'a>,
    pub content: &'a Content<'a>,
    pub mode: Mode,
    pub reporter: &'a dyn Reporter,
    pub cancel: &'a AtomicBool,
    /// The first MiB of the card was blanked and read back, and nothing was written there since.
    pub head_is_blank: AtomicBool,
}

impl Task<'_> {
    /// Fails where a stop is requested; `at` is how far the work has come, in bytes.
    pub fn may_go_on(&self, at: u64) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(ExitKind::Interrupted.error(format!("stopped at byte {at}")));
        }
        Ok(())
    }

    /// Fails where a stop is requested `before` a step of the work.
    pub fn may_begin(&self, before: &str) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(ExitKind::Interrupted.error(format!("stopped before {before}")));
        }
        Ok(())
    }

    /// The size of the chunk at byte `at` of the image, in bytes.
    pub fn len_at(&self, at: u64) -> usize {
        usize::try_from(self.content.size.saturating_sub(at)).unwrap_or(CHUNK).min(CHUNK)
    }
}
