//! The check cache: the results of earlier checks of image files. The result for a file is valid as long as the file
//! has not changed, so that no file is decompressed twice only to be checked.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::checksums::ImageSums;
use super::fingerprint::Fingerprint;
use super::host_keys::HostKeyFile;
use crate::base::state;

/// The largest number of images in the cache.
const MAX_IMAGES: usize = 64;
/// The size of the largest cache file that is read, in bytes. Each image takes about 300.
const MAX_CACHE_FILE: u64 = 1 << 20;
/// The clock of a file system may tick only every 10 ms. A file that was changed this short a time before it was read
/// may be changed again with the same timestamps.
const SETTLE_TIME: Duration = Duration::from_millis(100);

/// The check cache, in a file of the state folder.
pub struct CheckCache {
    file: PathBuf,
}

/// The identity of a file and its content. It includes ctime, which programs cannot set (unlike mtime), so every write
/// and every replacement gives another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    device: u64,
    inode: u64,
    /// The time of the last change of the file or its metadata, in seconds since 1970 and nanoseconds.
    changed: (i64, i64),
    // Check caches of earlier versions have this name.
    #[serde(rename = "stamp")]
    fingerprint: Fingerprint,
}

/// The result of a check that has read the whole image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedCheck {
    /// The id of the file when the check began.
    // Check caches of earlier versions have this name.
    #[serde(rename = "trace")]
    pub file_id: FileId,
    /// The size of the decompressed content, in bytes.
    pub size: u64,
    /// The hash of the decompressed content, see [`super::chunk_hash`].
    #[serde(with = "super::digest")]
    pub hash: blake3::Hash,
    /// The sums that were computed, at least the SHA-256 of the stored file.
    #[serde(default)]
    pub sums: ImageSums,
    /// The ssh host keys inside. Check caches of earlier versions do not have them.
    #[serde(default)]
    pub host_keys: Option<Vec<HostKeyFile>>,
}

impl FileId {
    /// The id of the file at `path`.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata =
            path.metadata().with_context(|| format!("reading the metadata of {}", path.display()))?;
        Ok(Self::from(&metadata))
    }

    /// Whether a change after `moment` would give another id.
    fn is_settled(&self, moment: SystemTime) -> bool {
        let (seconds, nanos) = self.changed;
        let since_1970 = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        let changed = since_1970
            .and_then(|(seconds, nanos)| SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos)));
        changed.is_some_and(|changed| moment.duration_since(changed).is_ok_and(|age| age >= SETTLE_TIME))
    }
}

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let fingerprint = Fingerprint::from(metadata);
        Self { device: metadata.dev(), inode: metadata.ino(), changed, fingerprint }
    }
}

impl CheckCache {
    /// The cache in the folder `state`.
    pub fn new(state: &Path) -> Self {
        Self { file: state.join("checked-images.json") }
    }

    /// The cached check of the file at `path`.
    pub fn recall(&self, path: &Path) -> Option<CachedCheck> {
        let file_id = FileId::of(path).ok()?;
        self.load().into_iter().find(|cached| cached.file_id == file_id)
    }

    /// Keeps the result `found` of the check of the file at `path` that started at `begin`. Where the result cannot be
    /// kept, the next check reads the file again.
    pub fn keep(&self, path: &Path, found: CachedCheck, begin: SystemTime) {
        let unchanged = FileId::of(path).is_ok_and(|after| after == found.file_id);
        if !unchanged || !found.file_id.is_settled(begin) {
            return;
        }
        let others =
            self.load().into_iter().filter(|other| other.file_id != found.file_id).collect::<Vec<_>>();
        let all = std::iter::once(found).chain(others).take(MAX_IMAGES).collect::<Vec<_>>();
        let _ = self.store(&all);
    }

    /// Removes the result for the file at `path`, so that the next check reads the file again.
    pub fn forget(&self, path: &Path) {
        let Ok(file_id) = FileId::of(path) else { return };
        let others = self.load().into_iter().filter(|other| other.file_id != file_id).collect::<Vec<_>>();
        let _ = self.store(&others);
    }

    /// Removes the results for all files.
    #[cfg(feature = "dev")]
    pub fn clear(&self) -> Result<()> {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }

    fn load(&self) -> Vec<CachedCheck> {
        let text = state::read(&self.file, MAX_CACHE_FILE).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn store(&self, all: &[CachedCheck]) -> Result<()> {
        state::create_private_folder(self.file.parent().context("a file is in a folder")?)?;
        state::write(&self.file, &serde_json::to_vec(all)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::sleep;

    use super::super::checksums::{Algorithm, Sum};
    use super::*;

    /// A folder with a file that is older than [`SETTLE_TIME`].
    fn settled() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.img");
        fs::write(&file, "an image").unwrap();
        sleep(SETTLE_TIME);
        (dir, file)
    }

    fn found(file: &Path) -> CachedCheck {
        let file_id = FileId::of(file).unwrap();
        let sums = ImageSums { file: vec![Sum::new(Algorithm::Sha256, &[7; 32])], content: Vec::new() };
        let host_keys = Some(vec![HostKeyFile { partition: 2, path: "etc/ssh/ssh_host_rsa_key".into() }]);
        CachedCheck { file_id, size: 1024, hash: blake3::hash(b"its content"), sums, host_keys }
    }

    #[test]
    fn a_check_is_cached_until_the_file_changes() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        assert_eq!(images.recall(&file), None);
        let known = found(&file);
        images.keep(&file, known.clone(), SystemTime::now());
        assert_eq!(images.recall(&file), Some(known.clone()));
        // The same bytes, with the old time of the content: the file was written all the same.
        let times = fs::FileTimes::new().set_modified(file.metadata().unwrap().modified().unwrap());
        fs::write(&file, fs::read(&file).unwrap()).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
        assert_eq!(Fingerprint::from(&file.metadata().unwrap()), known.file_id.fingerprint);
        assert_eq!(images.recall(&file), None);
    }

    #[test]
    fn the_check_of_a_file_that_changes_meanwhile_is_not_cached() {
        let (dir, file) = settled();
        let images = CheckCache::new(dir.path());
        let before = found(&file);
        fs::write(&file, "another").unwrap();
        // A file that was just written may be written again in the same tick of the clock.
        for known in [before, found(&file)] {
            images.keep(&file, known, SystemTime::now());
            assert_eq!(images.recall(&file), None);
        }
    }

    #[test]
    fn only_the_named_file_is_forgotten() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        let other = dir.path().join("y.img");
        fs::copy(&file, &other).unwrap();
        for file in [&file, &other] {
            images.keep(file, found(file), SystemTime::now() + SETTLE_TIME);
        }
        images.forget(&file);
        assert_eq!(images.recall(&file), None);
        assert!(images.recall(&other).is_some());
    }

    #[test]
    fn the_oldest_checks_are_forgotten() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        let files = (0..=MAX_IMAGES).map(|n| dir.path().join(n.to_string())).collect::<Vec<_>>();
        for other in &files {
            fs::copy(&file, other).unwrap();
            images.keep(other, found(other), SystemTime::now() + SETTLE_TIME);
        }
        assert_eq!(images.load().len(), MAX_IMAGES);
        assert_eq!(images.recall(&files[0]), None);
        assert!(images.recall(&files[1]).is_some());
    }

    #[test]
    fn a_cache_that_is_no_regular_file_is_ignored_and_replaced() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        let keep = || images.keep(&file, found(&file), SystemTime::now());
        keep();
        assert_eq!(images.file.metadata().unwrap().mode() & 0o777, 0o600);
        let moved = dir.path().join("elsewhere");
        fs::rename(&images.file, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &images.file).unwrap();
        assert_eq!(images.recall(&file), None);
        fs::remove_file(&images.file).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &images.file, 0o600.into()).unwrap();
        assert_eq!(images.recall(&file), None);
        fs::remove_file(&images.file).unwrap();
        fs::File::create(&images.file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(images.recall(&file), None);
        // The large file is replaced.
        keep();
        assert!(images.recall(&file).is_some());
    }

    #[test]
    fn fuzz() {
        let (dir, file) = settled();
        let images = CheckCache::new(&dir.path().join("state"));
        images.keep(&file, found(&file), SystemTime::now());
        crate::base::fuzz::check(&[&fs::read(&images.file).unwrap()], |bytes| {
            let known = serde_json::from_slice::<Vec<CachedCheck>>(bytes).unwrap_or_default();
            known.iter().filter(|known| known.file_id.is_settled(SystemTime::now())).count()
        });
    }
}
