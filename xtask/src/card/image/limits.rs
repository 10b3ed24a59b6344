//! How much an image file may take: of memory to decompress it, and of content.

use std::fmt;
use std::io::{Error, ErrorKind};

use serde::{Deserialize, Serialize};

use crate::base::Bytes;
use crate::base::failure::ExitKind;
use crate::card::inspect::MEMORY;

/// No image is larger, in bytes: a master boot record cannot say more.
const CONTENT: u64 = 2 << 40;

/// How much an image file may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How far back its decompression may look, in bytes: so much memory it takes.
    pub memory: u64,
    /// The size of its content in bytes: that of the card, where that is known.
    pub content: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: MEMORY, content: CONTENT }
    }
}

/// A compressed file of so many bytes is read whatever its content may be.
const READ_ANYHOW: u64 = 1 << 30;

impl Limits {
    /// With what the user and the card say.
    pub fn new(memory: Option<u64>, card: Option<u64>) -> Self {
        let default = Self::default();
        let card = card.filter(|size| *size > 0);
        Self { memory: memory.unwrap_or(default.memory), content: card.unwrap_or(default.content) }
    }

    /// # Errors
    /// Of [`ExitKind::Refused`] where decompressing takes more memory than it may.
    pub fn check_memory(&self, window: u64) -> Result<(), anyhow::Error> {
        if window <= self.memory {
            return Ok(());
        }
        Err(ExitKind::Refused.error(OutOfMemory::Limit { wanted: window, limit: self.memory }))
    }

    /// # Errors
    /// Of [`ExitKind::Refused`] for a compressed file of `stored` bytes that is larger than its content may be: it does not fit,
    /// or most of it is padding, which takes time to read and gives nothing. A file that is read in seconds is read, and
    /// then the error says which.
    pub fn check_stored(&self, stored: u64) -> Result<(), anyhow::Error> {
        // What cannot be compressed becomes a little longer.
        let content = self.content.max(READ_ANYHOW);
        let most = content.saturating_add(content / 64).saturating_add(16 << 20);
        if stored <= most {
            return Ok(());
        }
        let (stored, content) = (Bytes(stored), Bytes(self.content));
        let text = format!(
            "it has {stored} compressed, more than the {content} that its content may have: use a larger card; or most of \
             it is padding, as no program makes it"
        );
        Err(ExitKind::Refused.error(text))
    }

    /// # Errors
    /// Of [`ExitKind::Refused`] for an image of `size` bytes that is too large.
    pub fn check_content(&self, size: u64) -> Result<(), anyhow::Error> {
        let Some(missing) = size.checked_sub(self.content).filter(|missing| *missing > 0) else {
            return Ok(());
        };
        let text = match self.content {
            CONTENT => format!("the image is larger than {}, and so than any card", Bytes(CONTENT)),
            holds => format!(
                "the image is larger than the card: {} ({size} bytes) or more on {} ({holds} bytes), {missing} bytes \
                 too many; use a larger card",
                Bytes(size),
                Bytes(holds)
            ),
        };
        Err(ExitKind::Refused.error(text))
    }
}

/// The reason of an error: memory is lacking, and nothing is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfMemory {
    /// More is wanted than may be taken, in bytes.
    Limit { wanted: u64, limit: u64 },
    /// The machine has no more.
    Memory,
}

impl OutOfMemory {
    /// The reason of `error`, if it is one of these.
    pub fn of(error: &Error) -> Option<Self> {
        error.get_ref().and_then(|reason| reason.downcast_ref()).copied()
    }

    pub fn error(self) -> Error {
        Error::new(ErrorKind::OutOfMemory, self)
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { wanted, limit } => {
                let (most, mib) = (Bytes(*limit), wanted.div_ceil(1 << 20));
                let wanted = Bytes(*wanted);
                write!(
                    f,
                    "decompressing it takes {wanted} of memory, more than the {most} that it may take: it was made with a \
                     long window; if this machine has that much to spare, say --memory-limit {mib}MiB"
                )
            }
            Self::Memory => f.write_str(
                "there is not enough memory to decompress it, which says nothing about the image; close other \
                 programs, or use a machine with more memory",
            ),
        }
    }
}

impl std::error::Error for OutOfMemory {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_said_with_the_remedy() {
        let limits = Limits::default();
        limits.check_memory(256 << 20).unwrap();
        let error = limits.check_memory((256 << 20) + 1).unwrap_err().to_string();
        assert!(error.contains("takes 256.0 MiB of memory, more than the 256.0 MiB"), "{error}");
        assert!(error.ends_with("say --memory-limit 257MiB"), "{error}");
        Limits::new(Some(2 << 30), None).check_memory(2 << 30).unwrap();
        limits.check_content(2 << 40).unwrap();
        assert!(limits.check_content(u64::MAX).unwrap_err().to_string().ends_with("and so than any card"));
        let card = Limits::new(None, Some(1 << 20));
        let error = card.check_content((1 << 20) + 512).unwrap_err().to_string();
        assert!(error.ends_with("(1048576 bytes), 512 bytes too many; use a larger card"), "{error}");
        assert_eq!(Limits::new(None, Some(0)), limits);
    }
}
