//! Checking an image before anything is written: that it is complete, undamaged, and a disk image.

mod layout;

use std::io::Read;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::check_cache::{CachedCheck, CheckCache, FileId};
use super::checksums::{Algorithm, Checksums, HashingReader, ImageSums};
use super::chunk_hash::{self, CHUNK, ChunkHash, read_chunk};
use super::decode::DOWNLOAD_AGAIN;
use super::fingerprint::Changed;
use super::host_keys::{HostKeyFile, HostKeySearch};
use super::limits::OutOfMemory;
use super::source::Source;
use crate::bail;
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Event, Phase, Reporter, interrupt};
use crate::card::inspect::{HEAD, Partition, PartitionTable};

pub use layout::require as require_disk_image;

/// Decompression with a larger window, in bytes, is a warning. `zstd` itself stops here, too.
const LARGE_WINDOW: u64 = 128 << 20;

/// The result of a check. It is sent to the worker in the plan: the image that is written later must have this hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub source: Source,
    /// The decompressed size in bytes, a multiple of the sector size.
    pub size: u64,
    /// The hash of the decompressed bytes, see [`super::chunk_hash`], if they were all read.
    #[serde(with = "super::digest::option")]
    pub hash: Option<blake3::Hash>,
    pub layout: PartitionTable,
    /// The SHA-256 of the stored file in hexadecimal digits, if it was computed. The worker has no use for it.
    #[serde(skip)]
    pub file_sha256: Option<String>,
    /// The ssh host keys inside, if all of the image was read.
    #[serde(skip)]
    pub host_keys: Vec<HostKeyFile>,
}

/// How much of an image is read by the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All of the image, so that any damage is found before the card is touched.
    Whole,
    /// The structure of the file, where that shows that the file is not truncated and how large its content is (raw,
    /// and zstd as `zstd FILE` makes it); otherwise all of the image.
    Structure,
}

/// Checks the image `source`.
///
/// # Errors
/// A truncated or damaged file, a file that exceeds its limits, bytes that are no disk image, and a request to stop.
pub fn examine(source: Source, depth: Depth, reporter: &dyn Reporter) -> Result<Image> {
    source.check_limits()?;
    warn_of_file(&source, reporter);
    let checksums = source.checksums()?;
    match source.size {
        Some(size) if depth == Depth::Structure && checksums.of_content().is_empty() => {
            check_file(&source, &checksums, reporter)?;
            from_head(source, size, None)
        }
        _ => check(source, &checksums, reporter).map(|(image, _)| image),
    }
}

/// Checks the [whole](Depth::Whole) of `source`, unless an earlier check of the unchanged file is in `cache`.
///
/// # Errors
/// As for [`examine`].
pub fn examine_once(source: Source, cache: &CheckCache, reporter: &dyn Reporter) -> Result<Image> {
    source.check_limits()?;
    let checksums = source.checksums()?;
    // A cached check counts only if it has the size that the structure of the file shows, a sum of the file, and a
    // search for host keys.
    let fits = |found: &CachedCheck| {
        let has_size = source.size.is_none_or(|size| size == found.size);
        has_size && !found.sums.file.is_empty() && found.host_keys.is_some()
    };
    let found = cache.recall(&source.path).filter(fits);
    let Some((found, notes)) = found.and_then(|found| {
        let notes = checksums.compare(&source.path, &found.sums).ok()?;
        Some((found, notes))
    }) else {
        return examine_and_remember(source, cache, reporter);
    };
    warn_of_file(&source, reporter);
    reporter.report(&Event::note("the image was checked before, and the file has not changed since"));
    report(notes, reporter);
    let image = from_head(source, found.size, Some(found.hash))?;
    let host_keys = found.host_keys.unwrap_or_default();
    Ok(Image { file_sha256: found.sums.file_sha256(), host_keys, ..image })
}

/// Checks the [whole](Depth::Whole) of `source`, and keeps the result in `cache`.
///
/// # Errors
/// As for [`examine`].
pub fn examine_and_remember(source: Source, cache: &CheckCache, reporter: &dyn Reporter) -> Result<Image> {
    source.check_limits()?;
    warn_of_file(&source, reporter);
    let checksums = source.checksums()?;
    let file_id = FileId::of(&source.path)?;
    let begin = SystemTime::now();
    let (image, sums) = check(source, &checksums, reporter)?;
    if let Some(hash) = image.hash {
        let host_keys = Some(image.host_keys.clone());
        let found = CachedCheck { file_id, size: image.size, hash, sums, host_keys };
        cache.keep(&image.source.path, found, begin);
    }
    Ok(image)
}

/// Warns of a wrong name, and of decompression that takes much memory.
fn warn_of_file(source: &Source, reporter: &dyn Reporter) {
    source.name_warning().iter().for_each(|warning| reporter.report(warning));
    if source.window > LARGE_WINDOW {
        let path = source.path.display();
        let memory = Bytes(source.window);
        let text =
            format!("decompressing {path} takes {memory} of memory: it was compressed with a long window");
        reporter.report(&Event::warning(text));
    }
}

fn report(notes: impl IntoIterator<Item = String>, reporter: &dyn Reporter) {
    notes.into_iter().for_each(|note| reporter.report(&Event::note(note)));
}

/// Compares the stored bytes of `source` with their `checksums`, if there are any.
fn check_file(source: &Source, checksums: &Checksums, reporter: &dyn Reporter) -> Result<()> {
    let algorithms = checksums.of_file();
    if algorithms.is_empty() {
        return Ok(());
    }
    let mut file = HashingReader::new(source.file()?, &algorithms);
    std::io::copy(&mut file, &mut std::io::sink())
        .with_context(|| format!("reading {}", source.path.display()))?;
    let sums = ImageSums { file: file.finish(), content: Vec::new() };
    report(checksums.compare(&source.path, &sums)?, reporter);
    Ok(())
}

/// Decompresses only the head of `source`, which is known to be complete and to have `size` bytes.
fn from_head(source: Source, size: u64, hash: Option<blake3::Hash>) -> Result<Image> {
    let mut head = Vec::new();
    let read = source.stream()?.take(HEAD).read_to_end(&mut head);
    read.map_err(|error| source.refusal(&error))?;
    let layout = layout::parse(&source, &head, size)?;
    Ok(Image { source, size, hash, layout, file_sha256: None, host_keys: Vec::new() })
}

/// Reads all of `source`. Returns the sums that were computed, too.
///
/// # Errors
/// A truncated or damaged file, bytes that are no disk image or do not match the `checksums`, and a request to stop.
fn check(source: Source, checksums: &Checksums, reporter: &dyn Reporter) -> Result<(Image, ImageSums)> {
    let hold = interrupt::guard()?;
    let stopped = || hold.is_stop_requested();
    let mut phase = Phase::begin(reporter, "check", source.size);
    let mut algorithms = checksums.of_file();
    algorithms.insert(Algorithm::Sha256);
    let mut file = HashingReader::new(source.file()?, &algorithms);
    let stream = source.decode(StoppableReader { file: &mut file, stopped: &stopped })?;
    let mut stream = HashingReader::new(stream, &checksums.of_content());
    let read = read_through(&source, &mut stream, &mut phase, &stopped)?;
    let content = stream.finish();
    let sums = ImageSums { file: file.finish(), content };
    let notes = checksums.compare(&source.path, &sums)?;
    phase.end();
    report(notes, reporter);
    let trailer =
        source.trailer.get().map(|trailer| format!("the {trailer} behind the stream are not written"));
    report(trailer, reporter);
    let ImageContent { head, size, hash, host_keys } = read;
    let layout = layout::parse(&source, &head, size)?;
    let file_sha256 = sums.file_sha256();
    Ok((Image { source, size, hash: Some(hash), layout, file_sha256, host_keys }, sums))
}

/// What a check finds in the content of an image.
#[derive(Debug)]
struct ImageContent {
    /// The first [`HEAD`] bytes.
    head: Vec<u8>,
    /// In bytes.
    size: u64,
    hash: blake3::Hash,
    host_keys: Vec<HostKeyFile>,
}

/// Reads `stream`, the decompressed bytes of `source`, to its end.
///
/// # Errors
/// [`ExitKind::Refused`] without reading on for a first chunk without a valid partition table, or with a table that
/// exceeds the limits.
fn read_through(
    source: &Source,
    mut stream: impl Read,
    phase: &mut Phase,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Result<ImageContent> {
    let mut hashes = Vec::new();
    let mut keys = HostKeySearch::default();
    let mut buffer = vec![0; CHUNK];
    let mut head = Vec::new();
    let mut size = 0;
    loop {
        let read = read_chunk(&mut stream, &mut buffer);
        if stopped() {
            bail!(Interrupted, "stopped while the image was checked; nothing was written");
        }
        let len = read.map_err(|(done, error)| decode_error(source, size + done as u64, &error))?;
        if size == 0 {
            head = buffer[..len].to_vec();
            keys = check_head(source, &head)?;
        }
        if len > 0 {
            hashes.push(ChunkHash::of(&buffer[..len]));
        }
        keys.feed(&buffer[..len]);
        size += len as u64;
        source.limits.check_content(size)?;
        phase.advance(len);
        if len < CHUNK {
            let hash = chunk_hash::whole(&hashes);
            return Ok(ImageContent { head, size, hash, host_keys: keys.finish() });
        }
    }
}

/// The error of a decoder after `done` bytes of its output: a refusal, as nothing has been written.
fn decode_error(source: &Source, done: u64, error: &std::io::Error) -> anyhow::Error {
    if OutOfMemory::of(error).is_some() || Changed::is(error) {
        return source.refusal(error);
    }
    let message = format_args!("after {done} bytes: {error}");
    ExitKind::Refused.error_with_hint(message, DOWNLOAD_AGAIN).context(source.decoding_context())
}

/// Checks the partition table in `head`, the first chunk, so that a wrong table is reported before the rest of the
/// image is read. An image of less than one chunk is checked later. Returns the search for host keys in the partitions.
fn check_head(source: &Source, head: &[u8]) -> Result<HostKeySearch> {
    if head.len() < CHUNK {
        return Ok(HostKeySearch::default());
    }
    let layout = layout::parse_early(source, head)?;
    let end = layout.partitions.iter().map(Partition::end).max();
    source.limits.check_content(end.unwrap_or_default())?;
    Ok(HostKeySearch::new(&layout))
}

/// A reader that fails after a request to stop, so that a decoder that produces nothing stops, too.
struct StoppableReader<'a, R> {
    file: R,
    stopped: &'a (dyn Fn() -> bool + Sync),
}

impl<R: Read> Read for StoppableReader<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if (self.stopped)() { Err(std::io::Error::other("stopped")) } else { self.file.read(bytes) }
    }
}

#[cfg(test)]
mod tests;
