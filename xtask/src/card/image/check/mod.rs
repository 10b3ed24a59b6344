//! Checking an image before anything is written: that it is complete, undamaged, and a disk image.

mod content;
mod layout;

use std::io::Read;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::check_cache::{CachedCheck, CheckCache, FileId};
use super::checksums::{Algorithm, Checksums, HashingReader, ImageSums};
use super::facts::{ImageFacts, KeptParts};
use super::host_keys::HostKeyFile;
use super::source::Source;
use crate::base::{Bytes, Event, Format, Phase, Reporter, interrupt};
use crate::card::inspect::{HEAD, Inspection, PartitionTable};

use content::{ImageContent, StoppableReader, read_content};
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
    let (mut image, sums, parts) = read_whole(source, checksums, reporter)?;
    image.kept_facts = parts.map(|parts| parts.facts(&image.layout));
    Ok((image, sums))
}

/// Reads all of `source`, and inspects it by the parts that are kept of its content; `None` where they are too few.
///
/// # Errors
/// As for [`examine`].
pub fn inspect_compressed(source: Source, reporter: &dyn Reporter) -> Result<(Image, Option<Inspection>)> {
    source.check_limits()?;
    warn_of_file(&source, reporter);
    let checksums = source.checksums()?;
    let (image, _, parts) = read_whole(source, &checksums, reporter)?;
    let inspection = parts.and_then(|parts| parts.inspect(&image.layout));
    Ok((image, inspection))
}

/// Like [`check_whole`], with what is kept of a compressed image in place of its facts.
fn read_whole(
    source: Source,
    checksums: &Checksums,
    reporter: &dyn Reporter,
) -> Result<(Image, ImageSums, Option<KeptParts>)> {
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
    let image = Image { source, size, hash: Some(hash), layout, file_sha256, host_keys, kept_facts: None };
    Ok((image, sums, parts))
}

#[cfg(test)]
mod tests;
