//! Reading the content of an image once, from its start to its end, with all that a check finds on the way.

use std::io::Read;

use anyhow::Result;

use super::super::chunk_hash::{self, CHUNK, ChunkHash, read_chunk};
use super::super::decode::DOWNLOAD_AGAIN;
use super::super::facts::KeptParts;
use super::super::host_keys::{HostKeyFile, HostKeySearch};
use super::super::source::{Source, may_be_whole};
use super::layout;
use crate::bail;
use crate::base::failure::ExitKind;
use crate::base::{Format, Phase};
use crate::card::inspect::Partition;

/// The facts of the content of an image that a check finds.
#[derive(Debug)]
pub(super) struct ImageContent {
    /// The first [`HEAD`](crate::card::inspect::HEAD) bytes, or all where there are fewer.
    pub head: Vec<u8>,
    /// The size in bytes.
    pub size: u64,
    pub hash: blake3::Hash,
    pub host_keys: Vec<HostKeyFile>,
    /// What is kept of a compressed image.
    pub parts: Option<KeptParts>,
}

/// Reads `stream`, the decompressed bytes of `source`, to its end.
///
/// # Errors
/// [`ExitKind::Refused`] for a decoder that fails, for content that exceeds the limits, and after the first chunk for
/// an invalid partition table, or partitions that exceed the limits. [`ExitKind::Interrupted`] where `is_stopped` is
/// true.
pub(super) fn read_content(
    source: &Source,
    mut stream: impl Read,
    phase: &mut Phase,
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Result<ImageContent> {
    let mut hashes = Vec::new();
    let mut keys = HostKeySearch::default();
    let mut parts = None;
    let mut buffer = vec![0; CHUNK];
    let mut head = Vec::new();
    let mut size = 0;
    loop {
        let read = read_chunk(&mut stream, &mut buffer);
        if is_stopped() {
            bail!(Interrupted, "stopped while the image was checked; nothing was written");
        }
        let len = read.map_err(|(len, error)| decode_error(source, size + len as u64, &error))?;
        if size == 0 {
            head = buffer[..len].to_vec();
            (keys, parts) = check_head(source, &head)?;
        }
        if len > 0 {
            hashes.push(ChunkHash::of(&buffer[..len]));
        }
        keys.feed(&buffer[..len]);
        if let Some(parts) = &mut parts {
            KeptParts::feed(parts, &buffer[..len]);
        }
        size += len as u64;
        source.limits.check_content(size)?;
        phase.advance(len);
        if len < CHUNK {
            let hash = chunk_hash::content_hash(&hashes);
            return Ok(ImageContent { head, size, hash, host_keys: keys.finish(), parts });
        }
    }
}

/// The error of a decoder after it has returned `len` bytes: a refusal, because nothing was written.
fn decode_error(source: &Source, len: u64, error: &std::io::Error) -> anyhow::Error {
    if may_be_whole(error) {
        return source.decode_refusal(error);
    }
    let message = format_args!("after {len} bytes: {error}");
    ExitKind::Refused.error_with_hint(message, DOWNLOAD_AGAIN).context(source.decoding_context())
}

/// Checks the partition table in `head`, the first chunk, so that a wrong table is reported before the rest of the
/// image is read. Returns the search for host keys in the partitions, and what keeps parts of a compressed image. For
/// an image of less than one chunk, the table is checked later, and both are empty.
fn check_head(source: &Source, head: &[u8]) -> Result<(HostKeySearch, Option<KeptParts>)> {
    if head.len() < CHUNK {
        return Ok((HostKeySearch::default(), None));
    }
    let layout = layout::parse_layout_early(source, head)?;
    let end = layout.partitions.iter().map(Partition::end).max();
    source.limits.check_content(end.unwrap_or_default())?;
    let parts = (source.format != Format::Raw).then(|| KeptParts::new(&layout));
    Ok((HostKeySearch::new(&layout), parts))
}

/// A reader that fails once `is_stopped` is true, so that a decoder that returns nothing stops, too.
pub(super) struct StoppableReader<'a, R> {
    pub file: R,
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl<R: Read> Read for StoppableReader<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if (self.is_stopped)() { Err(std::io::Error::other("stopped")) } else { self.file.read(bytes) }
    }
}
