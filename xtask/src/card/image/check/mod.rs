//! What an image is, found out before anything is written: whole, undamaged, and an image at all.

use std::io::Read;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::check_cache::{CachedCheck, CheckCache, Trace};
use super::checksums::{Hashing, Sidecar};
use super::chunk_hash::{self, CHUNK, ChunkHash, read_piece};
use super::fingerprint::Changed;
use super::limits::OutOfMemory;
use super::source::Source;
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Event, Phase, Reporter, interrupt};
use crate::card::inspect::{HEAD, Partition, PartitionTable, SECTOR};

/// A frame that looks back further than this, in bytes, is told about: `zstd` itself stops here too.
const LARGE_WINDOW: u64 = 128 << 20;

/// What an image was found to be. It travels in the plan: what is written later must have this hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub source: Source,
    /// The decompressed size in bytes, a multiple of the sector size.
    pub size: u64,
    /// The hash of the decompressed bytes, see [`super::chunk_hash`], if they were all read.
    #[serde(with = "super::digest::option")]
    pub hash: Option<blake3::Hash>,
    pub layout: PartitionTable,
}

/// How much of an image is read before the card is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All of it, so that damage anywhere changes nothing.
    Whole,
    /// Its structure, where that tells that the file is whole and how large its content is (raw, and zstd
    /// as `zstd FILE` makes it); all of it otherwise.
    Structure,
}

/// Finds out what `source` is.
///
/// # Errors
/// A truncated or damaged file, one that takes more than its limits, bytes that are no disk image, and a request to stop.
pub fn examine(source: Source, depth: Depth, reporter: &dyn Reporter) -> Result<Image> {
    source.check_limits()?;
    warn_of_window(&source, reporter);
    let sidecar = Sidecar::find(&source.path)?;
    match source.size {
        Some(size) if depth == Depth::Structure => {
            compare(&source, sidecar, reporter)?;
            from_head(source, size, None)
        }
        _ => check(source, sidecar, reporter),
    }
}

/// As [`examine`] does to the [whole](Depth::Whole) of `source`, unless it was found to be whole before and
/// nobody has touched it since.
///
/// # Errors
/// As for [`examine`].
pub fn examine_once(source: Source, known: &CheckCache, reporter: &dyn Reporter) -> Result<Image> {
    source.check_limits()?;
    let sidecar = Sidecar::find(&source.path)?;
    let sum = sidecar.as_ref().map(|sidecar| sidecar.sum.as_str());
    // What its structure tells is true in any case.
    let fits = |found: &CachedCheck| source.size.is_none_or(|size| size == found.size);
    let Some(found) = known.recall(&source.path, sum).filter(fits) else {
        return examine_and_remember(source, known, reporter);
    };
    warn_of_window(&source, reporter);
    reporter.report(&Event::note("the image was checked before, and nobody has touched it since"));
    if let Some(sidecar) = sidecar {
        reporter.report(&Event::note(sidecar.to_string()));
    }
    from_head(source, found.size, Some(found.hash))
}

/// As [`examine`] does to the [whole](Depth::Whole) of `source`, and remembers what was found.
///
/// # Errors
/// As for [`examine`].
pub fn examine_and_remember(source: Source, known: &CheckCache, reporter: &dyn Reporter) -> Result<Image> {
    source.check_limits()?;
    warn_of_window(&source, reporter);
    let sidecar = Sidecar::find(&source.path)?;
    let sum = sidecar.as_ref().map(|sidecar| sidecar.sum.clone());
    let (trace, begin) = (Trace::of(&source.path)?, SystemTime::now());
    let image = check(source, sidecar, reporter)?;
    if let Some(hash) = image.hash {
        known.keep(&image.source.path, CachedCheck { trace, size: image.size, hash, sum }, begin);
    }
    Ok(image)
}

fn warn_of_window(source: &Source, reporter: &dyn Reporter) {
    if source.window > LARGE_WINDOW {
        let (path, memory) = (source.path.display(), Bytes(source.window));
        let text = format!("decompressing {path} takes {memory} of memory: it was made with a long window");
        reporter.report(&Event::warning(text));
    }
}

/// Compares the stored bytes of `source` with the checksum beside it, if there is one.
fn compare(source: &Source, sidecar: Option<Sidecar>, reporter: &dyn Reporter) -> Result<()> {
    let Some(sidecar) = sidecar else { return Ok(()) };
    let mut file = Hashing::new(source.file()?);
    std::io::copy(&mut file, &mut std::io::sink())
        .with_context(|| format!("reading {}", source.path.display()))?;
    sidecar.compare(&source.path, &file.finish())?;
    reporter.report(&Event::note(sidecar.to_string()));
    Ok(())
}

/// Decompresses only the head of `source`, which is known to be whole and to have `size` bytes.
fn from_head(source: Source, size: u64, hash: Option<blake3::Hash>) -> Result<Image> {
    let mut head = Vec::new();
    let read = source.stream()?.take(HEAD).read_to_end(&mut head);
    read.map_err(|error| source.refusal(&error))?;
    let layout = understand(&head, size).with_context(|| no_image(&source))?;
    Ok(Image { source, size, hash, layout })
}

/// Reads all of `source`.
///
/// # Errors
/// A truncated or damaged file, bytes that are no disk image or not those of the checksum beside it, and a
/// request to stop.
fn check(source: Source, sidecar: Option<Sidecar>, reporter: &dyn Reporter) -> Result<Image> {
    let hold = interrupt::guard()?;
    let stopped = || hold.requested();
    let mut phase = Phase::begin(reporter, "check", source.size);
    let (head, size, hash) = match &sidecar {
        None => read_through(&source, source.file()?, &mut phase, &stopped)?,
        Some(sidecar) => {
            let mut file = Hashing::new(source.file()?);
            let read = read_through(&source, &mut file, &mut phase, &stopped)?;
            sidecar.compare(&source.path, &file.finish())?;
            read
        }
    };
    phase.end();
    if let Some(sidecar) = sidecar {
        reporter.report(&Event::note(sidecar.to_string()));
    }
    let layout = understand(&head, size).with_context(|| no_image(&source))?;
    Ok(Image { source, size, hash: Some(hash), layout })
}

fn no_image(source: &Source) -> String {
    format!("{} is no disk image", source.path.display())
}

fn understand(head: &[u8], size: u64) -> Result<PartitionTable> {
    if !size.is_multiple_of(SECTOR) {
        return Err(ExitKind::Refused
            .error(format!("its size, {size} bytes, is no whole number of {SECTOR}-byte sectors")));
    }
    PartitionTable::parse(head, size)
}

/// The first [`HEAD`] bytes, the size in bytes and the hash of a stream.
///
/// # Errors
/// Of [`ExitKind::Refused`] at once for one that begins with no table, or with one that is larger than it may be.
fn read_through(
    source: &Source,
    file: impl Read + Send,
    phase: &mut Phase,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Result<(Vec<u8>, u64, blake3::Hash)> {
    let mut stream = source.decode(Attended { file, stopped })?;
    let (mut hashes, mut buffer, mut head, mut size) = (Vec::new(), vec![0; CHUNK], Vec::new(), 0);
    loop {
        let read = read_piece(&mut stream, &mut buffer);
        if stopped() {
            return Err(
                ExitKind::Interrupted.error("stopped while the image was checked; nothing was written")
            );
        }
        // What a decoder says about its input is a refusal: nothing has been written.
        let len = read.map_err(|(done, error)| {
            if OutOfMemory::of(&error).is_some() || Changed::is(&error) {
                return source.refusal(&error);
            }
            let text = format!("after {} bytes: {error}", size + done as u64);
            ExitKind::Refused.error(text).context(source.damaged())
        })?;
        if size == 0 {
            head = buffer[..len].to_vec();
            begins_well(source, &head)?;
        }
        if len > 0 {
            hashes.push(ChunkHash::of(&buffer[..len]));
        }
        size += len as u64;
        source.limits.check_content(size)?;
        phase.advance(len);
        if len < CHUNK {
            return Ok((head, size, chunk_hash::whole(&hashes)));
        }
    }
}

/// Looks at the table in `head`, which is all there is or the first of many pieces: a wrong one is not told after a
/// hundred GiB.
fn begins_well(source: &Source, head: &[u8]) -> Result<()> {
    if head.len() < CHUNK {
        return Ok(());
    }
    let layout =
        PartitionTable::parse(head, source.size.unwrap_or(u64::MAX)).with_context(|| no_image(source))?;
    let end = layout.partitions.iter().map(Partition::end).max();
    source.limits.check_content(end.unwrap_or_default())
}

/// A file whose reading ends once somebody has asked for it, also where what is read gives nothing.
struct Attended<'a, R> {
    file: R,
    stopped: &'a (dyn Fn() -> bool + Sync),
}

impl<R: Read> Read for Attended<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if (self.stopped)() { Err(std::io::Error::other("stopped")) } else { self.file.read(bytes) }
    }
}

#[cfg(test)]
mod tests;
