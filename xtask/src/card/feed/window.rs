//! The chunks of an image that were decompressed and not yet taken by all cards of a feed.

use std::collections::VecDeque;
use std::io::{self, Read};

use crate::card::image::chunk_hash::{self, CHUNK};

/// The most chunks of a window. With the pipes, the fastest card is up to 10 MiB ahead of the slowest: enough for the
/// pauses of a second that healthy cards make.
const MAX_CHUNKS: usize = 8;

/// The chunks from that of the slowest card on.
pub struct Window {
    stream: Box<dyn Read + Send>,
    /// All chunks but the last one of the image are full.
    chunks: VecDeque<Vec<u8>>,
    /// The position of the first chunk in the image, in bytes.
    start: u64,
    /// Whether the last chunk of the image is in the window, or was.
    is_complete: bool,
    /// Chunks that all cards have taken, for reuse.
    spare: Vec<Vec<u8>>,
}

impl Window {
    /// The empty window at byte `start` of `stream`.
    pub fn open(mut stream: Box<dyn Read + Send>, start: u64) -> io::Result<Self> {
        let skipped = io::copy(&mut stream.by_ref().take(start), &mut io::sink())?;
        if skipped < start {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let chunks = VecDeque::new();
        Ok(Self { stream, chunks, start, is_complete: false, spare: Vec::new() })
    }

    /// The position behind the last chunk, in bytes of the image.
    pub fn end(&self) -> u64 {
        self.start + self.chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>()
    }

    /// Whether no more can be read before a card takes something.
    pub fn is_full(&self) -> bool {
        self.is_complete || self.chunks.len() >= MAX_CHUNKS
    }

    /// Whether the image ends at byte `at`.
    pub fn is_end_of_image(&self, at: u64) -> bool {
        self.is_complete && at == self.end()
    }

    /// Whether byte `at` is in the first half of a full window.
    pub fn is_in_first_half(&self, at: u64) -> bool {
        at < self.start + (MAX_CHUNKS / 2 * CHUNK) as u64
    }

    /// Reads the next chunk of the image.
    pub fn read_next(&mut self) -> io::Result<()> {
        let mut chunk = self.spare.pop().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        let len = chunk_hash::read_chunk(&mut self.stream, &mut chunk).map_err(|(_, error)| error)?;
        chunk.truncate(len);
        self.is_complete = len < CHUNK;
        if len > 0 {
            self.chunks.push_back(chunk);
        }
        Ok(())
    }

    /// The bytes from `at` to the end of the chunk that holds byte `at`; none behind the last chunk.
    pub fn bytes_at(&self, at: u64) -> &[u8] {
        let offset = usize::try_from(at.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let chunk = self.chunks.get(offset / CHUNK);
        chunk.and_then(|chunk| chunk.get(offset % CHUNK..)).unwrap_or_default()
    }

    /// Drops the chunks that end before byte `at`.
    pub fn drop_before(&mut self, at: u64) {
        while let Some(chunk) = self.chunks.front()
            && self.start + chunk.len() as u64 <= at
        {
            self.start += chunk.len() as u64;
            self.spare.extend(self.chunks.pop_front());
        }
    }
}
