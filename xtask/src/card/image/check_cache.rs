//! Which image files were found whole, so that none is decompressed twice only to be looked at: as long as
//! nobody has touched a file, what was found out about it stays true.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use crate::base::state;

/// How many images are remembered.
const MOST: usize = 64;
/// The most bytes that are read of the notes. Each image has about 300.
const LARGEST: u64 = 1 << 20;
/// A file system tells changes apart by a clock that may tick only every 10 ms. What was changed this short
/// a time before it was read may be changed once more without a trace.
const SETTLED: Duration = Duration::from_millis(100);

/// All images that are known, in a file in the project's state folder.
pub struct CheckCache {
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
    stamp: Fingerprint,
}

/// An image that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedCheck {
    /// As it was when reading the file began.
    pub trace: Trace,
    /// Of the decompressed content, in bytes.
    pub size: u64,
    /// Of the decompressed content, see [`super::chunk_hash`].
    #[serde(with = "super::digest")]
    pub hash: blake3::Hash,
    /// The SHA-256 of the file as it is stored, if it was compared.
    pub sum: Option<String>,
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
        Self { device: facts.dev(), inode: facts.ino(), changed, stamp: Fingerprint::from(facts) }
    }
}

impl CheckCache {
    pub fn new(state: &Path) -> Self {
        Self { file: state.join("checked-images.json") }
    }

    /// What is known of the file at `path`, whose SHA-256 must be `sum` where one is given.
    pub fn recall(&self, path: &Path, sum: Option<&str>) -> Option<CachedCheck> {
        let trace = Trace::of(path).ok()?;
        let known = self.load().into_iter().find(|known| known.trace == trace)?;
        (sum.is_none() || known.sum.as_deref() == sum).then_some(known)
    }

    /// Remembers what was found out about the file at `path` from `begin` on. Where that cannot be kept, the
    /// file is read again the next time.
    pub fn keep(&self, path: &Path, found: CachedCheck, begin: SystemTime) {
        let untouched = Trace::of(path).is_ok_and(|after| after == found.trace);
        if !untouched || !found.trace.is_settled(begin) {
            return;
        }
        let others = self.load().into_iter().filter(|other| other.trace != found.trace).collect::<Vec<_>>();
        let all = std::iter::once(found).chain(others).take(MOST).collect::<Vec<_>>();
        let _ = self.store(&all);
    }

    /// Forgets the file at `path`, so that it is read again the next time.
    pub fn forget(&self, path: &Path) {
        let Ok(trace) = Trace::of(path) else { return };
        let others = self.load().into_iter().filter(|other| other.trace != trace).collect::<Vec<_>>();
        let _ = self.store(&others);
    }

    /// Forgets all files.
    pub fn clear(&self) -> Result<()> {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }

    fn load(&self) -> Vec<CachedCheck> {
        let text = state::read(&self.file, LARGEST).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn store(&self, all: &[CachedCheck]) -> Result<()> {
        state::private_folder(self.file.parent().context("a file is in a folder")?)?;
        state::write(&self.file, &serde_json::to_vec(all)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::sleep;

    use super::*;

    /// A folder with a file that has been there for a while.
    fn settled() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.img");
        fs::write(&file, "an image").unwrap();
        sleep(SETTLED);
        (dir, file)
    }

    fn found(file: &Path, sum: Option<&str>) -> CachedCheck {
        let (trace, sum) = (Trace::of(file).unwrap(), sum.map(str::to_owned));
        CachedCheck { trace, size: 1024, hash: blake3::hash(b"its content"), sum }
    }

    #[test]
    fn a_file_is_known_until_somebody_touches_it() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        assert_eq!(images.recall(&file, None), None);
        let known = found(&file, None);
        images.keep(&file, known.clone(), SystemTime::now());
        assert_eq!(images.recall(&file, None), Some(known.clone()));
        // The same bytes, and the time of the content put back: it was touched all the same.
        let times = fs::FileTimes::new().set_modified(file.metadata().unwrap().modified().unwrap());
        fs::write(&file, fs::read(&file).unwrap()).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
        assert_eq!(Fingerprint::from(&file.metadata().unwrap()), known.trace.stamp);
        assert_eq!(images.recall(&file, None), None);
    }

    #[test]
    fn what_changed_while_it_was_read_is_not_remembered() {
        let (dir, file) = settled();
        let images = CheckCache::new(dir.path());
        let before = found(&file, None);
        fs::write(&file, "another").unwrap();
        // Just written, it may be written once more in the same tick of the clock.
        for known in [before, found(&file, None)] {
            images.keep(&file, known, SystemTime::now());
            assert_eq!(images.recall(&file, None), None);
        }
    }

    #[test]
    fn another_checksum_beside_it_is_compared() {
        let (dir, file) = settled();
        let images = CheckCache::new(dir.path());
        images.keep(&file, found(&file, None), SystemTime::now());
        assert_eq!(images.recall(&file, Some("aa")), None);
        images.keep(&file, found(&file, Some("aa")), SystemTime::now());
        for (sum, known) in [(None, true), (Some("aa"), true), (Some("bb"), false)] {
            assert_eq!(images.recall(&file, sum).is_some(), known, "{sum:?}");
        }
    }

    #[test]
    fn one_is_forgotten() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        let other = dir.path().join("y.img");
        fs::copy(&file, &other).unwrap();
        for file in [&file, &other] {
            images.keep(file, found(file, None), SystemTime::now() + SETTLED);
        }
        images.forget(&file);
        assert_eq!(images.recall(&file, None), None);
        assert!(images.recall(&other, None).is_some());
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        let files = (0..=MOST).map(|n| dir.path().join(n.to_string())).collect::<Vec<_>>();
        for other in &files {
            fs::copy(&file, other).unwrap();
            images.keep(other, found(other, None), SystemTime::now() + SETTLED);
        }
        assert_eq!(images.load().len(), MOST);
        assert_eq!(images.recall(&files[0], None), None);
        assert!(images.recall(&files[1], None).is_some());
    }

    #[test]
    fn what_is_no_file_of_notes_is_none() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        let keep = || images.keep(&file, found(&file, None), SystemTime::now());
        keep();
        assert_eq!(images.file.metadata().unwrap().mode() & 0o777, 0o600);
        let notes = dir.path().join("elsewhere");
        fs::rename(&images.file, &notes).unwrap();
        std::os::unix::fs::symlink(&notes, &images.file).unwrap();
        assert_eq!(images.recall(&file, None), None);
        fs::remove_file(&images.file).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &images.file, 0o600.into()).unwrap();
        assert_eq!(images.recall(&file, None), None);
        fs::remove_file(&images.file).unwrap();
        fs::File::create(&images.file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(images.recall(&file, None), None);
        // What is there makes room for notes.
        keep();
        assert!(images.recall(&file, None).is_some());
    }

    #[test]
    fn fuzz() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        images.keep(&file, found(&file, Some("aa")), SystemTime::now());
        crate::base::fuzz::check(&[&fs::read(&images.file).unwrap()], |bytes| {
            let known = serde_json::from_slice::<Vec<CachedCheck>>(bytes).unwrap_or_default();
            known.iter().filter(|known| known.trace.is_settled(SystemTime::now())).count()
        });
    }
}
