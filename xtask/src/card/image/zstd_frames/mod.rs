//! The frames of a zstd file, read from header to header without decompressing (RFC 8878, section 3.1): whether the
//! file is truncated, the size of its content, and the memory of its decompression. The content of the blocks is not
//! checked.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Result;

use super::decode::DOWNLOAD_AGAIN;
use super::limits::{TOO_MANY_PARTS, max_parts};
use crate::{bail, failure};

/// The facts of the headers of all frames, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The decompressed size in bytes; `None` where the header of a frame does not contain its size.
    pub content_size: Option<u64>,
    /// The largest window in bytes, which is the memory that the decompression takes.
    pub window: u64,
    /// Whether a frame needs a dictionary.
    pub needs_dictionary: bool,
}

/// The magic number of a frame.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The length of the longest header after the magic number: descriptor, window, dictionary and content size.
const MAX_HEADER: usize = 14;

/// The header of one frame.
struct Header {
    /// The length in bytes, without the magic number.
    len: u64,
    /// The decompressed size in bytes; `None` where the header does not contain it.
    content_size: Option<u64>,
    /// The size of the window in bytes.
    window: u64,
    needs_dictionary: bool,
    /// Whether a checksum follows the blocks.
    has_checksum: bool,
}

/// Reads the headers of all frames of `file`, which is `len` bytes long.
///
/// # Errors
/// [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a file that is truncated, has something else than
/// frames, or has more frames than any program makes.
pub fn read_headers(file: &File, len: u64) -> Result<Frames> {
    let mut frames = Frames { content_size: Some(0), window: 0, needs_dictionary: false };
    let mut reader = HeaderReader::new(file, len);
    let mut at = 0;
    let mut remaining_parts = max_parts(len);
    while at < len {
        remaining_parts =
            remaining_parts.checked_sub(1).ok_or_else(|| failure!(Refused, "{TOO_MANY_PARTS}"))?;
        let magic = reader.read::<4>(at)?;
        if is_skippable_magic(magic) {
            at += 8 + u64::from(u32::from_le_bytes(reader.read(at + 4)?));
        } else if magic == MAGIC {
            let header = Header::read(&mut reader, at + 4)?;
            at = blocks_end(&mut reader, at + 4 + header.len)?;
            if header.has_checksum {
                at += 4;
            }
            frames.add(&header);
        } else {
            bail!(Refused, "there is no zstd frame at byte {at}"; hint: "{DOWNLOAD_AGAIN}");
        }
    }
    if at > len { Err(truncated_error(len)) } else { Ok(frames) }
}

/// Whether `magic` begins a skippable frame (section 3.1.2): a length of 4 bytes, and data without content.
fn is_skippable_magic(magic: [u8; 4]) -> bool {
    magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18]
}

impl Frames {
    /// Adds the frame with this `header`.
    fn add(&mut self, header: &Header) {
        self.content_size = match (self.content_size, header.content_size) {
            (Some(sum), Some(size)) => Some(sum.saturating_add(size)),
            _ => None,
        };
        self.window = self.window.max(header.window);
        self.needs_dictionary |= header.needs_dictionary;
    }
}

/// A buffered reader of the headers in a file, which may be close together.
struct HeaderReader<'a> {
    file: &'a File,
    /// The length of the file in bytes.
    len: u64,
    /// The bytes that were read last.
    buffer: Vec<u8>,
    /// The offset of `buffer` in the file.
    start: u64,
}

impl<'a> HeaderReader<'a> {
    /// The number of bytes that are read at once.
    const BUFFER: u64 = 4096;

    fn new(file: &'a File, len: u64) -> Self {
        Self { file, len, buffer: Vec::new(), start: 0 }
    }

    /// The `N` bytes from `at` on. Fails where the file ends before.
    fn read<const N: usize>(&mut self, at: u64) -> Result<[u8; N]> {
        self.read_up_to(N, at)?.first_chunk().copied().ok_or_else(|| truncated_error(self.len))
    }

    /// The `count` bytes from `at` on, or fewer where the file ends.
    fn read_up_to(&mut self, count: usize, at: u64) -> Result<&[u8]> {
        let end = at.saturating_add(count as u64).min(self.len);
        let is_buffered = at >= self.start && end <= self.start + self.buffer.len() as u64;
        if !is_buffered {
            self.buffer.resize(usize::try_from(self.len.saturating_sub(at).min(Self::BUFFER))?, 0);
            self.file.read_exact_at(&mut self.buffer, at)?;
            self.start = at;
        }
        let offset = usize::try_from(at - self.start)?;
        let available = self.buffer.get(offset..).unwrap_or_default();
        Ok(&available[..available.len().min(count)])
    }
}

impl Header {
    /// Reads the header whose descriptor, the byte after the magic number, is at `at` (section 3.1.1.1): descriptor,
    /// window, dictionary id and content size, of which only the descriptor is always present.
    fn read(reader: &mut HeaderReader, at: u64) -> Result<Self> {
        let file_len = reader.len;
        let bytes = reader.read_up_to(MAX_HEADER, at)?;
        let available = bytes.len();
        let mut header = [0; MAX_HEADER];
        header[..available].copy_from_slice(bytes);
        let descriptor = header[0];
        let is_single_segment = descriptor & 0x20 != 0;
        let window_len = usize::from(!is_single_segment);
        let dictionary_len = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size_len = match descriptor >> 6 {
            0 => usize::from(is_single_segment),
            flag => 1 << flag,
        };
        let dictionary_start = 1 + window_len;
        let size_start = dictionary_start + dictionary_len;
        let end = size_start + size_len;
        if available < end {
            return Err(truncated_error(file_len));
        }
        // The id 0 means no dictionary.
        let needs_dictionary = header[dictionary_start..size_start].iter().any(|byte| *byte != 0);
        let content_size = content_size(&header[size_start..end]);
        let window =
            if is_single_segment { content_size.unwrap_or_default() } else { window_size(header[1]) };
        let has_checksum = descriptor & 4 != 0;
        Ok(Self { len: end as u64, content_size, window, needs_dictionary, has_checksum })
    }
}

/// The size of the content in bytes by the field of 0, 1, 2, 4 or 8 bytes (section 3.1.1.1.4); `None` without the
/// field.
fn content_size(field: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes[..field.len()].copy_from_slice(field);
    let value = u64::from_le_bytes(bytes);
    match field.len() {
        0 => None,
        2 => Some(value + 256),
        _ => Some(value),
    }
}

/// The window size in bytes by the window descriptor (section 3.1.1.1.2).
fn window_size(descriptor: u8) -> u64 {
    let base = 1 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 7)
}

/// The end of the blocks of a frame, whose first block is at `at` (section 3.1.1.2).
fn blocks_end(reader: &mut HeaderReader, mut at: u64) -> Result<u64> {
    loop {
        let [low, middle, high] = reader.read::<3>(at)?;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let is_last = header & 1 == 1;
        let block_type = (header >> 1) & 3;
        let size = match block_type {
            // One byte, which is repeated.
            1 => 1,
            3 => bail!(Refused, "the block at byte {at} is of no known type"; hint: "{DOWNLOAD_AGAIN}"),
            _ => u64::from(header >> 3),
        };
        at += 3 + size;
        if is_last {
            return Ok(at);
        }
    }
}

/// The error for a file of `len` bytes that ends inside a frame.
fn truncated_error(len: u64) -> anyhow::Error {
    failure!(Refused, "it ends at byte {len} in the middle of a frame"; hint: "{DOWNLOAD_AGAIN}")
}

#[cfg(test)]
mod tests;
