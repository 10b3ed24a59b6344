//! The images of the cases: synthetic images, of which 70 % of the chunks are filled, in runs, and of which some
//! variants differ in some chunks; and image files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result};

use super::content::{CHUNK, Content, Random};
use crate::base::interrupt::SignalGuard;
use crate::base::is_all_zero;

/// Names an image of the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// A synthetic image of 512 MiB.
    Base,
    /// [`Self::Base`] with 10 % of its filled chunks changed, at random places.
    Tenth,
    /// The assembled image of a closure of 400 MiB.
    Host,
    /// [`Self::Host`] after a small change of the configuration: a new unit, and another toplevel.
    Next,
    /// A synthetic image of 2 GiB, for a fast device.
    Large,
}

impl Variant {
    /// The name of the image's files, without their endings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Tenth => "tenth",
            Self::Host => "host",
            Self::Next => "next",
            Self::Large => "large",
        }
    }

    /// Whether the assembler makes the image; all others are synthetic.
    pub fn is_assembled(self) -> bool {
        matches!(self, Self::Host | Self::Next)
    }

    /// The size in chunks.
    fn chunk_count(self) -> usize {
        match self {
            Self::Base | Self::Tenth => 512,
            // As the assembler rounds it.
            Self::Host | Self::Next => 688,
            Self::Large => 2048,
        }
    }

    /// The size in bytes.
    pub fn size(self) -> u64 {
        (self.chunk_count() * CHUNK) as u64
    }
}

/// An image whose chunks are made or read on demand.
#[derive(Clone)]
pub enum Image {
    /// A synthetic image with the version of each chunk; a chunk without a version is all zeros.
    Synthetic { content: Rc<Content>, versions: Vec<Option<u8>> },
    /// An uncompressed image file of `chunks` chunks.
    File { file: Rc<File>, chunks: usize },
}

impl Image {
    /// The synthetic image `variant`.
    pub fn synthetic(content: Rc<Content>, variant: Variant) -> Self {
        let mut versions = chunk_versions(variant.chunk_count());
        let filled = (0..versions.len()).filter(|&number| versions[number].is_some()).collect::<Vec<_>>();
        for index in changed_chunks(filled.len(), variant) {
            versions[filled[index]] = Some(1);
        }
        Self::Synthetic { content, versions }
    }

    /// The image in the file at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let doing = || format!("opening {}", path.display());
        let file = File::open(path).with_context(doing)?;
        let size = file.metadata().with_context(doing)?.len();
        Ok(Self::File { file: Rc::new(file), chunks: usize::try_from(size)? / CHUNK })
    }

    fn chunk_count(&self) -> usize {
        match self {
            Self::Synthetic { versions, .. } => versions.len(),
            Self::File { chunks, .. } => *chunks,
        }
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        (self.chunk_count() * CHUNK) as u64
    }

    /// The chunks in order; `None` for a chunk of zeros.
    pub fn chunks(&self) -> impl Iterator<Item = Result<Option<Vec<u8>>>> {
        (0..self.chunk_count()).map(|number| self.chunk(number))
    }

    /// The chunk `number`; `None` for zeros.
    fn chunk(&self, number: usize) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Synthetic { content, versions } => Ok(versions[number].map(|version| {
                let mut chunk = content.chunk(number, version);
                if number == 0 {
                    chunk[..512].copy_from_slice(&boot_record(self.size()));
                }
                chunk
            })),
            Self::File { file, .. } => {
                let mut chunk = vec![0; CHUNK];
                file.read_exact_at(&mut chunk, (number * CHUNK) as u64).context("reading an image")?;
                Ok((!is_all_zero(&chunk)).then_some(chunk))
            }
        }
    }

    /// Writes the image to `path`, compressed by zstd as NixOS does.
    pub fn compress(&self, path: &Path, signals: &SignalGuard) -> Result<()> {
        let doing = || format!("writing {}", path.display());
        let file = File::create(path).with_context(doing)?;
        let mut encoder = zstd::Encoder::new(file, 3).with_context(doing)?;
        encoder.include_checksum(true).with_context(doing)?;
        encoder.set_pledged_src_size(Some(self.size())).with_context(doing)?;
        encoder.multithread(2).with_context(doing)?;
        for chunk in self.chunks() {
            signals.check()?;
            encoder.write_all(&chunk?.unwrap_or_else(|| vec![0; CHUNK])).with_context(doing)?;
        }
        encoder.finish().map(drop).with_context(doing)
    }
}

/// Copies `from` to the new file `into`, sparse where chunks are zeros.
pub fn copy_sparse(mut from: impl Read, into: &File) -> std::io::Result<()> {
    let mut size = 0;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let count = from.by_ref().take(CHUNK as u64).read_to_end(&mut chunk)? as u64;
        if !is_all_zero(&chunk) {
            into.write_all_at(&chunk, size)?;
        }
        size += count;
        if count == 0 {
            return into.set_len(size);
        }
    }
}

/// A run of filled chunks and the empty chunks after it, in chunks on average.
const RUN_CHUNKS: usize = 12;

/// The versions of `count` chunks: 0 for a filled chunk, `None` for an empty one. 70 % are filled, among them the
/// first, in runs; a run and the empty chunks after it are [`RUN_CHUNKS`] chunks on average.
fn chunk_versions(count: usize) -> Vec<Option<u8>> {
    let filled_count = (count * 7 + 5) / 10;
    let run_count = (count / RUN_CHUNKS).max(1);
    let mut random = Random::new(&format!("{count} blocks"));
    let filled_runs = split_randomly(filled_count, run_count, &mut random);
    let empty_runs = split_randomly(count - filled_count, run_count, &mut random);
    let mut versions = Vec::with_capacity(count);
    for (filled, empty) in filled_runs.into_iter().zip(empty_runs) {
        versions.extend(std::iter::repeat_n(Some(0), filled));
        versions.extend(std::iter::repeat_n(None, empty));
    }
    versions
}

/// The sizes of `count` random parts of `total`, none of them 0.
fn split_randomly(total: usize, count: usize, random: &mut Random) -> Vec<usize> {
    let cuts = distinct_numbers(count - 1, total - 1, random).into_iter().map(|cut| cut + 1);
    let borders = [0].into_iter().chain(cuts).chain([total]).collect::<Vec<_>>();
    borders.windows(2).map(|part| part[1] - part[0]).collect()
}

/// `count` different random numbers below `limit`.
fn distinct_numbers(count: usize, limit: usize, random: &mut Random) -> BTreeSet<usize> {
    let mut chosen = BTreeSet::new();
    while chosen.len() < count {
        chosen.insert(random.within(&(0..limit)));
    }
    chosen
}

/// Which of the `count` filled chunks are changed in `variant`, by their numbers among the filled ones.
fn changed_chunks(count: usize, variant: Variant) -> BTreeSet<usize> {
    let mut random = Random::new(variant.name());
    match variant {
        Variant::Tenth => distinct_numbers((count + 5) / 10, count, &mut random),
        Variant::Base | Variant::Large | Variant::Host | Variant::Next => BTreeSet::new(),
    }
}

/// The first sector of an image of `size` bytes: the two partitions of a NixOS SD image.
fn boot_record(size: u64) -> [u8; 512] {
    const SECTORS_PER_MIB: u32 = 2048;
    const FAT32: u8 = 0x0b;
    const LINUX: u8 = 0x83;
    const BOOTABLE: u8 = 0x80;
    let sectors = u32::try_from(size / 512).unwrap_or(u32::MAX);
    let root_start = 40 * SECTORS_PER_MIB;
    let firmware = partition_entry(0, FAT32, 8 * SECTORS_PER_MIB, 32 * SECTORS_PER_MIB);
    let root = partition_entry(BOOTABLE, LINUX, root_start, sectors - root_start);
    let mut record = [0; 512];
    // The disk identifier of every NixOS SD image.
    record[440..444].copy_from_slice(&0x2178_694e_u32.to_le_bytes());
    record[446..462].copy_from_slice(&firmware);
    record[462..478].copy_from_slice(&root);
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    record
}

/// An entry of a partition table. `start` and `length` are in sectors.
fn partition_entry(flag: u8, kind: u8, start: u32, length: u32) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[0] = flag;
    entry[4] = kind;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..].copy_from_slice(&length.to_le_bytes());
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Silent;
    use crate::card::image::{Depth, Source, examine};

    fn image(variant: Variant) -> Image {
        Image::synthetic(Rc::new(Content::new()), variant)
    }

    #[test]
    fn seventy_percent_of_the_chunks_are_filled_in_runs() {
        for (count, filled_count) in [(512, 358), (2048, 1434)] {
            let versions = chunk_versions(count);
            assert_eq!((versions.len(), versions.iter().flatten().count()), (count, filled_count));
            assert!(versions[0].is_some());
            let runs = versions.chunk_by(|a, b| a == b).count();
            // Each filled run is followed by an empty one.
            assert_eq!(runs, 2 * (count / RUN_CHUNKS));
        }
    }

    #[test]
    fn a_tenth_of_the_filled_chunks_differs() {
        let base = image(Variant::Base);
        let other = image(Variant::Tenth);
        let differs = |&number: &usize| base.chunk(number).unwrap() != other.chunk(number).unwrap();
        assert_eq!((0..base.chunk_count()).filter(differs).count(), 36);
    }

    #[test]
    fn an_image_can_be_a_sparse_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.img");
        let bytes = [vec![7; CHUNK], vec![0; CHUNK], vec![9; CHUNK], vec![0; CHUNK]].concat();
        copy_sparse(bytes.as_slice(), &File::create(&path).unwrap()).unwrap();
        let image = Image::open(&path).unwrap();
        assert_eq!(image.size(), bytes.len() as u64);
        let chunks = image.chunks().map(|chunk| chunk.unwrap().unwrap_or_else(|| vec![0; CHUNK]));
        assert!(chunks.flatten().eq(bytes));
        assert_eq!(image.chunk(3).unwrap(), None);
    }

    #[test]
    fn the_synthetic_image_is_valid_and_the_same_everywhere() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("base.img.zst");
        image(Variant::Base).compress(&file, &crate::base::interrupt::guard().unwrap()).unwrap();
        let checked = examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).unwrap();
        let stored = checked.source.stored.size;
        assert_eq!((checked.size, checked.source.size), (512 << 20, Some(512 << 20)));
        assert!((2..4).contains(&(358 * (CHUNK as u64) / stored)), "{stored}");
        let hash = "cedcf9580daf07be12b1f791acc5eca330964865f5359a6db7f0d98a6ea10e0c";
        assert_eq!(checked.hash.unwrap().to_hex().as_str(), hash);
        let shown = checked.layout.partitions.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown, ["1: FAT32, 32.0 MiB", "2: Linux, 472.0 MiB, bootable"]);
    }
}
