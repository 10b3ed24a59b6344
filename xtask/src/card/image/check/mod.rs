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
use super::facts::{ImageFacts, KeptParts};
use super::host_keys::{HostKeyFile, HostKeySearch};
use super::source::{Source, may_be_whole};
use crate::bail;
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Event, Format, Phase, Reporter, interrupt};
use crate::card::inspect::{HEAD, Partition, PartitionTable};

pub use layout::{optical_disc_warning, require_disk_image};

/// The window in bytes above which decompression causes a warning: `zstd` refuses a larger one by default.
const LARGE_WINDOW: u64 = 128 << 20;

/// An image that was checked. The plan sends it to the worker: the bytes that are written later must have its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub source: Source,
    /// The decompressed size in bytes, a multiple of the sector size.
    pub size: u64,
    /// The hash of the decompressed bytes, see [`super::chunk_hash`]; `None` where not all of them were read.
    #[serde(with = "super::digest::option")]
    pub hash: Option<blake3::Hash>,
    pub layout: PartitionTable,
    /// The SHA-256 of the stored file in hexadecimal digits; `None` where it was not computed, and in the worker.
    #[serde(skip)]
    pub file_sha256: Option<String>,
    /// The ssh host keys inside; empty where not all of the image was read.
    #[serde(skip)]
    pub host_keys: Vec<HostKeyFile>,
    /// The facts of a compressed image, all of which was read; otherwise `None`.
    #[serde(skip)]
    pub kept_facts: Option<ImageFacts>,
}

/// How much of an image is read by the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All of the image, so that any damage is found before the card is touched.
    Whole,
    /// The structure of the file, where the structure shows that the file is not truncated and how large its content is
    /// (raw, and zstd as `zstd FILE` makes it); otherwise all of the image.
    Structure,
}

/// Checks the image `source` to this `depth`.
///
/// # Errors
/// A truncated or damaged file, a file that exceeds its limits, bytes that are no disk image or do not match a
/// checksum, and an interrupt by the user.
pub fn examine(source: Source, depth: Depth, reporter: &dyn Reporter) -> Result<Image> {
    source.check_limits()?;
    warn_of_file(&source, reporter);
    let checksums = source.checksums()?;
    match source.size {
        Some(size) if depth == Depth::Structure && checksums.content_algorithms().is_empty() => {
            compare_stored_file(&source, &checksums, reporter)?;
            image_from_head(source, size, None)
        }
        _ => check_whole(source, &checksums, reporter).map(|(image, _)| image),
    }
}

/// Checks the [whole](Depth::Whole) of `source`, unless an earlier check of the unchanged file is in `cache`.
///
/// # Errors
/// As for [`examine`].
pub fn examine_once(source: Source, cache: &CheckCache, reporter: &dyn Reporter) -> Result<Image> {
    source.check_limits()?;
    let checksums = source.checksums()?;
    let Some(cached) = cache.recall(&source.path).filter(|cached| is_usable(cached, &source)) else {
        return examine_and_remember(source, cache, reporter);
    };
    // A sum that differs, or that the cached check has not computed, is examined again.
    let Ok(notes) = checksums.compare(&source.path, &cached.sums) else {
        return examine_and_remember(source, cache, reporter);
    };
    warn_of_file(&source, reporter);
    reporter.report(&Event::note("the image was checked before, and the file has not changed since"));
    report_notes(notes, reporter);
    let image = image_from_head(source, cached.size, Some(cached.hash))?;
    let host_keys = cached.host_keys.unwrap_or_default();
    Ok(Image { file_sha256: cached.sums.file_sha256(), host_keys, kept_facts: cached.facts, ..image })
}

/// Whether a cached check of `source` is complete: it has the size that the structure of the file shows, a sum of the
/// file, the result of a search for host keys, and the facts of a compressed image.
fn is_usable(cached: &CachedCheck, source: &Source) -> bool {
    let has_same_size = source.size.is_none_or(|size| size == cached.size);
    let has_facts = source.format == Format::Raw || cached.facts.is_some();
    has_same_size && !cached.sums.file.is_empty() && cached.host_keys.is_some() && has_facts
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
    let (image, sums) = check_whole(source, &checksums, reporter)?;
    if let Some(hash) = image.hash {
        let host_keys = Some(image.host_keys.clone());
        let facts = image.kept_facts.clone();
        let check = CachedCheck { file_id, size: image.size, hash, sums, host_keys, facts };
        cache.keep(&image.source.path, check, begin);
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

fn report_notes(notes: impl IntoIterator<Item = String>, reporter: &dyn Reporter) {
    notes.into_iter().for_each(|note| reporter.report(&Event::note(note)));
}

/// Compares the stored bytes of `source` with `checksums`. Reads nothing where no checksum is for the stored bytes.
fn compare_stored_file(source: &Source, checksums: &Checksums, reporter: &dyn Reporter) -> Result<()> {
    let algorithms = checksums.file_algorithms();
    if algorithms.is_empty() {
        return Ok(());
    }
    let mut file = HashingReader::new(source.stored_bytes()?, &algorithms);
    std::io::copy(&mut file, &mut std::io::sink())
        .with_context(|| format!("reading {}", source.path.display()))?;
    let sums = ImageSums { file: file.finish(), content: Vec::new() };
    report_notes(checksums.compare(&source.path, &sums)?, reporter);
    Ok(())
}

/// The image of `source`, a file that is known not to be truncated. `size` is the size of its content in bytes; `hash`
/// is the hash of its content, if known. Decompresses only the head.
fn image_from_head(source: Source, size: u64, hash: Option<blake3::Hash>) -> Result<Image> {
    let mut head = Vec::new();
    let read = source.stream()?.take(HEAD).read_to_end(&mut head);
    read.map_err(|error| source.decode_refusal(&error))?;
    let layout = layout::parse_layout(&source, &head, size)?;
    Ok(Image { source, size, hash, layout, file_sha256: None, host_keys: Vec::new(), kept_facts: None })
}

/// Reads all of `source`. Returns the image, and the sums that were computed.
///
/// # Errors
/// A truncated or damaged file, bytes that are no disk image or do not match the `checksums`, and an interrupt by the
/// user.
fn check_whole(source: Source, checksums: &Checksums, reporter: &dyn Reporter) -> Result<(Image, ImageSums)> {
    let interrupts = interrupt::guard()?;
    let is_stopped = || interrupts.is_stop_requested();
    let mut phase = Phase::begin(reporter, "check", source.size);
    let mut algorithms = checksums.file_algorithms();
    algorithms.insert(Algorithm::Sha256);
    let mut file = HashingReader::new(source.stored_bytes()?, &algorithms);
    let decoded = source.decode(StoppableReader { file: &mut file, is_stopped: &is_stopped })?;
    let mut stream = HashingReader::new(decoded, &checksums.content_algorithms());
    let content = read_content(&source, &mut stream, &mut phase, &is_stopped)?;
    let content_sums = stream.finish();
    let sums = ImageSums { file: file.finish(), content: content_sums };
    let notes = checksums.compare(&source.path, &sums)?;
    phase.end();
    report_notes(notes, reporter);
    let trailer =
        source.trailer.get().map(|trailer| format!("the {trailer} behind the stream are not written"));
    report_notes(trailer, reporter);
    let ImageContent { head, size, hash, host_keys, parts } = content;
    let layout = layout::parse_layout(&source, &head, size)?;
    let file_sha256 = sums.file_sha256();
    let kept_facts = parts.map(|parts| parts.facts(&layout));
    Ok((Image { source, size, hash: Some(hash), layout, file_sha256, host_keys, kept_facts }, sums))
}

/// The facts of the content of an image that a check finds.
#[derive(Debug)]
struct ImageContent {
    /// The first [`HEAD`] bytes, or all where there are fewer.
    head: Vec<u8>,
    /// The size in bytes.
    size: u64,
    hash: blake3::Hash,
    host_keys: Vec<HostKeyFile>,
    /// What is kept of a compressed image.
    parts: Option<KeptParts>,
}

/// Reads `stream`, the decompressed bytes of `source`, to its end.
///
/// # Errors
/// [`ExitKind::Refused`] for a decoder that fails, for content that exceeds the limits, and after the first chunk for
/// an invalid partition table, or partitions that exceed the limits. [`ExitKind::Interrupted`] where `is_stopped` is
/// true.
fn read_content(
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
struct StoppableReader<'a, R> {
    file: R,
    is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl<R: Read> Read for StoppableReader<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if (self.is_stopped)() { Err(std::io::Error::other("stopped")) } else { self.file.read(bytes) }
    }
}

#[cfg(test)]
mod tests;
