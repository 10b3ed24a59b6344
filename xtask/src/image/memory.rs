//! Which image files were found whole, so that none is decompressed twice only to be looked at: as long as
//! nobody has touched a file, what was found out about it stays true.

use std::fs::Metadata;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::check::Image;
use super::unchanged::Stamp;

/// How many images are remembered.
const MOST: usize = 64;
/// A file system tells changes apart by a clock that may tick only every 10 ms. What was changed this short
/// a time before it was read may be changed once more without a trace.
const SETTLED: Duration = Duration::from_millis(100);

/// The file in the project's state folder that keeps it.
pub struct Memory {
    file: PathBuf,
}

/// What the file system tells about a file. Its clock of changes cannot be set by programs, unlike that of
/// its content, so whoever replaces or writes the file changes this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    device: u64,
    inode: u64,
    /// The time of the last change of anything about it, in seconds since 1970 and nanoseconds.
    changed: (i64, i64),
    stamp: Stamp,
}

/// An image that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    trace: Trace,
    /// Of the decompressed content, in bytes.
    pub size: u64,
    /// Of the decompressed content, see [`super::content`].
    #[serde(with = "super::digest")]
    pub hash: blake3::Hash,
    /// The SHA-256 of the file as it is stored, if it was compared.
    sum: Option<String>,
}

impl Trace {
    pub fn of(path: &Path) -> Result<Self> {
        let facts = path.metadata().with_context(|| format!("looking at {}", path.display()))?;
        Ok(Self::from(&facts))
    }

    /// Whether a change after `moment` would show.
    fn is_settled(&self, moment: SystemTime) -> bool {
        let (seconds, nanos) = self.changed;
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        let changed = since
            .and_then(|(seconds, nanos)| SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)));
        changed.is_some_and(|changed| moment.duration_since(changed).is_ok_and(|age| age >= SETTLED))
    }
}

impl From<&Metadata> for Trace {
    fn from(facts: &Metadata) -> Self {
        let changed = (facts.ctime(), facts.ctime_nsec());
        Self { device: facts.dev(), inode: facts.ino(), changed, stamp: Stamp::from(facts) }
    }
}

impl Memory {
    pub fn new(state: &Path) -> Self {
        Self { file: state.join("checked-images.json") }
    }

    /// What is known of the file at `path`, whose SHA-256 must be `sum` where one is given.
    pub fn recall(&self, path: &Path, sum: Option<&str>) -> Option<Known> {
        let trace = Trace::of(path).ok()?;
        let known = self.load().into_iter().find(|known| known.trace == trace)?;
        (sum.is_none() || known.sum.as_deref() == sum).then_some(known)
    }

    /// Remembers `image`, whose file had the trace `before` when reading it began at `begin`. Where that cannot
    /// be kept, the image is read again the next time.
    pub fn keep(&self, image: &Image, sum: Option<&str>, before: Trace, begin: SystemTime) {
        let untouched = Trace::of(&image.source.path).is_ok_and(|after| after == before);
        let Some(hash) = image.hash.filter(|_| untouched && before.is_settled(begin)) else { return };
        let known = Known { trace: before, size: image.size, hash, sum: sum.map(str::to_owned) };
        let others = self.load().into_iter().filter(|other| other.trace != before);
        let all = std::iter::once(known).chain(others).take(MOST).collect::<Vec<_>>();
        let _ = self.store(&all);
    }

    /// Forgets everything.
    pub fn forget(&self) -> Result<()> {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }

    fn load(&self) -> Vec<Known> {
        let text = std::fs::read(&self.file).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn store(&self, all: &[Known]) -> Result<()> {
        let folder = self.file.parent().context("a file is in a folder")?;
        std::fs::create_dir_all(folder)?;
        let part = self.file.with_extension(format!("{}.part", std::process::id()));
        let written =
            std::fs::File::create(&part).and_then(|mut file| file.write_all(&serde_json::to_vec(all)?));
        let moved = written.and_then(|()| std::fs::rename(&part, &self.file));
        moved.inspect_err(|_| drop(std::fs::remove_file(&part))).map_err(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::sleep;

    use super::super::check::{Depth, examine};
    use super::super::layout::tests::mbr;
    use super::super::source::Source;
    use super::*;
    use crate::ui::Silent;

    /// A folder with an image that has been there for a while.
    fn settled() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.img");
        fs::write(&file, [mbr(&[(0x83, true, 1, 1)]), [7; 512]].concat()).unwrap();
        sleep(SETTLED);
        (dir, file)
    }

    fn keep(memory: &Memory, file: &Path, sum: Option<&str>) -> Image {
        let (before, begin) = (Trace::of(file).unwrap(), SystemTime::now());
        let image = examine(Source::open(file).unwrap(), Depth::Whole, &Silent).unwrap();
        memory.keep(&image, sum, before, begin);
        image
    }

    #[test]
    fn a_file_is_known_until_somebody_touches_it() {
        let (dir, file) = settled();
        let memory = Memory::new(&dir.path().join("state"));
        assert_eq!(memory.recall(&file, None), None);
        let image = keep(&memory, &file, None);
        let known = memory.recall(&file, None).unwrap();
        assert_eq!((known.size, Some(known.hash)), (image.size, image.hash));
        // The same bytes, and the time of the content put back: it was touched all the same.
        let times = fs::FileTimes::new().set_modified(file.metadata().unwrap().modified().unwrap());
        fs::write(&file, fs::read(&file).unwrap()).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
        assert_eq!(Stamp::from(&file.metadata().unwrap()), known.trace.stamp);
        assert_eq!(memory.recall(&file, None), None);
    }

    #[test]
    fn a_file_that_was_just_written_is_not_remembered() {
        let (dir, file) = settled();
        let memory = Memory::new(dir.path());
        fs::write(&file, fs::read(&file).unwrap()).unwrap();
        keep(&memory, &file, None);
        assert_eq!(memory.recall(&file, None), None);
    }

    #[test]
    fn another_checksum_beside_it_is_compared() {
        let (dir, file) = settled();
        let memory = Memory::new(dir.path());
        keep(&memory, &file, None);
        assert_eq!(memory.recall(&file, Some("aa")), None);
        keep(&memory, &file, Some("aa"));
        for (sum, known) in [(None, true), (Some("aa"), true), (Some("bb"), false)] {
            assert_eq!(memory.recall(&file, sum).is_some(), known, "{sum:?}");
        }
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let (dir, file) = settled();
        let memory = Memory::new(dir.path());
        for _ in 0..=MOST {
            fs::write(&file, fs::read(&file).unwrap()).unwrap();
            let image = examine(Source::open(&file).unwrap(), Depth::Whole, &Silent).unwrap();
            let later = SystemTime::now() + SETTLED;
            memory.keep(&image, None, Trace::of(&file).unwrap(), later);
            sleep(Duration::from_millis(11));
        }
        assert_eq!(memory.load().len(), MOST);
    }
}
