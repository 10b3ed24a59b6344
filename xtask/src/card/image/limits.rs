//! The limits of an image file: the memory to decompress it, the size of its content, and the number of its parts.

use std::fmt;
use std::io::{Error, ErrorKind};

use serde::{Deserialize, Serialize};

use crate::bail;
use crate::base::Bytes;
use crate::base::failure::ExitKind;
use crate::card::inspect::MAX_MEMORY;

/// The size of the largest image in bytes: the limit of a master boot record.
const MAX_CONTENT: u64 = 2 << 40;

/// The limits that an image file must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The largest window of the decompression in bytes, which is the memory that the decompression takes.
    pub memory: u64,
    /// The largest size of the content in bytes: the size of the card, where that is known.
    pub content: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: MAX_MEMORY, content: MAX_CONTENT }
    }
}

/// The size in bytes up to which a compressed file is read whatever the limit of its content is.
const ALWAYS_READ: u64 = 1 << 30;

impl Limits {
    /// The limits by the `memory` that the user allows and the size of the `card`, in bytes. Without them, and for a
    /// card of 0 bytes, the default limits.
    pub fn new(memory: Option<u64>, card: Option<u64>) -> Self {
        let default = Self::default();
        let content = card.filter(|size| *size > 0);
        Self { memory: memory.unwrap_or(default.memory), content: content.unwrap_or(default.content) }
    }

    /// Checks that a decompression with this `window` in bytes is within the memory limit.
    ///
    /// # Errors
    /// [`ExitKind::Refused`] for a larger window.
    pub fn check_memory(&self, window: u64) -> Result<(), anyhow::Error> {
        if window <= self.memory {
            return Ok(());
        }
        Err(OutOfMemory::Limit { wanted: window, limit: self.memory }.refusal())
    }

    /// Checks the size of a compressed file, `stored` bytes, against the limit of its content. A file of up to
    /// [`ALWAYS_READ`] bytes passes: it is read in seconds, which gives the exact error.
    ///
    /// # Errors
    /// [`ExitKind::Refused`] for a larger file: its content does not fit, or most of the file is padding, which takes
    /// time to read and has no content.
    pub fn check_stored(&self, stored: u64) -> Result<(), anyhow::Error> {
        let content = self.content.max(ALWAYS_READ);
        // Content that cannot be compressed becomes a little longer.
        let limit = content.saturating_add(content / 64).saturating_add(16 << 20);
        if stored > limit {
            bail!(
                Refused,
                "the compressed file has {}, but its content may have only {}: the file is too large, or mostly \
                 padding, which no program writes",
                Bytes(stored),
                Bytes(self.content);
                hint: "use a larger card"
            );
        }
        Ok(())
    }

    /// Checks the size of the content, of which at least `size` bytes are known.
    ///
    /// # Errors
    /// [`ExitKind::Refused`] for content that is too large.
    pub fn check_content(&self, size: u64) -> Result<(), anyhow::Error> {
        if size <= self.content {
            return Ok(());
        }
        if self.content == MAX_CONTENT {
            bail!(
                Refused(TooSmall),
                "the image is larger than any card: it has more than {}",
                Bytes(MAX_CONTENT)
            );
        }
        let card = self.content;
        bail!(
            Refused(TooSmall),
            "the image is larger than the card: the image has at least {} ({size} bytes), the card has {} \
             ({card} bytes), {} bytes too few",
            Bytes(size),
            Bytes(card),
            size - card;
            hint: "use a larger card"
        )
    }
}

/// The message for a file with more parts than [`max_parts`].
pub const TOO_MANY_PARTS: &str = "it has far more almost empty parts than any program writes";

/// The largest number of frames or members in a file of `len` bytes. Each part takes time, even an empty one.
pub fn max_parts(len: u64) -> u64 {
    65_536 + len / 512
}

/// The cause of an error: there is not enough memory for the decompression. The image may be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfMemory {
    /// The decompression takes more memory than its limit, in bytes.
    Limit { wanted: u64, limit: u64 },
    /// The machine has no more memory.
    Memory,
}

impl OutOfMemory {
    /// The lack of memory that caused `error`; `None` for another cause.
    pub fn cause_of(error: &Error) -> Option<Self> {
        error.get_ref().and_then(|reason| reason.downcast_ref()).copied()
    }

    /// The input/output error with this cause.
    pub fn io_error(self) -> Error {
        Error::new(ErrorKind::OutOfMemory, self)
    }

    /// The refusal with this cause, and with its remedy as hint.
    pub fn refusal(self) -> anyhow::Error {
        ExitKind::Refused.error_with_hint(self, self.hint())
    }

    /// The remedy, for the hint.
    pub fn hint(self) -> String {
        match self {
            Self::Limit { wanted, .. } => {
                let mib = wanted.div_ceil(1 << 20);
                format!("if this machine has that much memory to spare, pass --memory-limit {mib}MiB")
            }
            Self::Memory => "close other programs, or use a machine with more memory".to_owned(),
        }
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { wanted, limit } => write!(
                f,
                "decompressing it takes {} of memory, more than the limit of {}: it was compressed with a long window",
                Bytes(*wanted),
                Bytes(*limit)
            ),
            Self::Memory => {
                f.write_str("this machine has not enough memory to decompress it; the image may be whole")
            }
        }
    }
}

impl std::error::Error for OutOfMemory {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::with_hint;

    #[test]
    fn what_exceeds_a_limit_is_refused_with_a_hint() {
        let limits = Limits::default();
        limits.check_memory(256 << 20).unwrap();
        let error = with_hint(&limits.check_memory((256 << 20) + 1).unwrap_err());
        assert!(error.contains("takes 256.0 MiB of memory, more than the limit of 256.0 MiB"), "{error}");
        assert!(error.ends_with("pass --memory-limit 257MiB"), "{error}");
        Limits::new(Some(2 << 30), None).check_memory(2 << 30).unwrap();
        limits.check_content(2 << 40).unwrap();
        assert!(
            limits
                .check_content(u64::MAX)
                .unwrap_err()
                .to_string()
                .starts_with("the image is larger than any card: ")
        );
        let card = Limits::new(None, Some(1 << 20));
        let error = with_hint(&card.check_content((1 << 20) + 512).unwrap_err());
        assert!(error.ends_with("(1048576 bytes), 512 bytes too few; use a larger card"), "{error}");
        assert_eq!(Limits::new(None, Some(0)), limits);
    }
}
