//! The state of one flash, shared by all its steps.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::buffer::CHUNK;
use super::card_io::CardIo;
use super::delta::Mode;
use crate::bail;
use crate::base::Reporter;

/// An image that can be read more than once: chunks that fail verification are written again.
pub struct ImageContent<'a> {
    /// The size in bytes.
    pub size: u64,
    /// The hash of the content, where a check has read the image to its end before.
    pub hash: Option<blake3::Hash>,
    /// Opens the image at its first byte.
    pub open: &'a (dyn Fn() -> Result<Box<dyn Read + Send>> + Sync),
}

/// A flash in progress: the card, the image, the delta mode, and where events go.
pub struct FlashJob<'a> {
    pub card_io: &'a CardIo<'a>,
    pub content: &'a ImageContent<'a>,
    pub mode: Mode,
    pub reporter: &'a dyn Reporter,
    /// Set when the user asks to stop.
    pub cancel: &'a AtomicBool,
    /// Whether the first MiB of the card was blanked and verified, and not written since.
    pub head_is_blank: AtomicBool,
}

impl FlashJob<'_> {
    /// Fails where the user asked to stop; `at` is the byte that the work has reached.
    pub fn check_cancel_at(&self, at: u64) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            bail!(Interrupted, "stopped at byte {at}");
        }
        Ok(())
    }

    /// Fails where the user asked to stop. `step` completes "stopped before", such as "the first MiB was written".
    pub fn check_cancel_before(&self, step: &str) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            bail!(Interrupted, "stopped before {step}");
        }
        Ok(())
    }

    /// The size of the chunk at byte `at` of the image, in bytes.
    pub fn chunk_len_at(&self, at: u64) -> usize {
        usize::try_from(self.content.size.saturating_sub(at)).unwrap_or(CHUNK).min(CHUNK)
    }
}
