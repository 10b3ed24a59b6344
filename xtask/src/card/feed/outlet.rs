//! The end of a feed at one card.

use std::fs::File;
use std::io::{ErrorKind, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::pipe::fcntl_setpipe_size;

use super::window::Window;
use crate::card::image::chunk_hash::CHUNK;

/// The pipe to the worker of one card.
pub struct Outlet {
    /// Never blocks.
    pub pipe: PipeWriter,
    /// The position in the image of the next byte for this card.
    pub at: u64,
    /// How long others have waited for this card.
    pub charged: Duration,
}

impl Outlet {
    /// An outlet at the first byte, with the other end of its pipe.
    pub fn new() -> std::io::Result<(Self, File)> {
        let (reader, pipe) = std::io::pipe()?;
        let flags = rustix::fs::fcntl_getfl(&pipe)?;
        rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        // A smaller pipe serves too, by more wake-ups.
        let _ = fcntl_setpipe_size(&pipe, CHUNK);
        Ok((Self { pipe, at: 0, charged: Duration::ZERO }, OwnedFd::from(reader).into()))
    }

    /// Sends what `window` has and the pipe takes. Returns whether the card needs more: false at the end of the image,
    /// and where nobody reads any more.
    pub fn push(&mut self, window: &Window) -> bool {
        loop {
            let bytes = window.bytes_at(self.at);
            if bytes.is_empty() {
                return !window.is_end_of_image(self.at);
            }
            match self.pipe.write(bytes) {
                Ok(count) => self.at += count as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}
