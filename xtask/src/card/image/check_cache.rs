//! The check cache: the results of earlier checks of image files. The result for a file is valid as long as the file
//! has not changed, so that no file is decompressed twice only to be checked.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::checksums::ImageSums;
use super::facts::ImageFacts;
use super::fingerprint::Fingerprint;
use super::host_keys::HostKeyFile;
use crate::base::state;

/// The largest number of images in the cache.
const MAX_IMAGES: usize = 64;
/// The size of the largest cache file that is read, in bytes. A compressed image takes about 8 KiB.
const MAX_CACHE_FILE: u64 = 8 << 20;
/// The largest result that is kept, in bytes: a hostile image has any number of keys.
const MAX_CHECK: usize = 64 << 10;
/// The time after a change of a file from which on another change gives other timestamps: the clock of a file system
/// may tick only every 10 ms.
const SETTLE_TIME: Duration = Duration::from_millis(100);

/// The check cache, in a file of the state folder.
pub struct CheckCache {
    file: PathBuf,
}

/// The identity of a file and its content. A `FileId` includes ctime, which programs cannot set (unlike mtime), so
/// every write and every replacement gives another id.
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
    /// The facts of a compressed image. Check caches of earlier versions do not have them.
    #[serde(default)]
    pub facts: Option<ImageFacts>,
}

impl FileId {
    /// The id of the file at `path`.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata =
            path.metadata().with_context(|| format!("reading the metadata of {}", path.display()))?;
        Ok(Self::from(&metadata))
    }

    /// Whether a change of the file after `moment` would give another id.
    fn is_settled(&self, moment: SystemTime) -> bool {
        self.changed_at()
            .and_then(|changed| moment.duration_since(changed).ok())
            .is_some_and(|age| age >= SETTLE_TIME)
    }

    /// The time of the last change; `None` before 1970.
    fn changed_at(&self) -> Option<SystemTime> {
        let (seconds, nanos) = self.changed;
        let since_1970 = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since_1970)
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

    /// The cached check of the file at `path`; `None` where the file was not checked, or has changed since.
    pub fn recall(&self, path: &Path) -> Option<CachedCheck> {
        let file_id = FileId::of(path).ok()?;
        self.load().into_iter().find(|cached| cached.file_id == file_id)
    }

    /// Keeps the result `check` of the check of the file at `path` that started at `begin`. Keeps nothing where the
    /// file has changed since, or may change without another id. Where the result is not kept, the next check reads the
    /// file again.
    pub fn keep(&self, path: &Path, check: CachedCheck, begin: SystemTime) {
        let has_changed = FileId::of(path).ok() != Some(check.file_id);
        let is_large = serde_json::to_vec(&check).map_or(true, |bytes| bytes.len() > MAX_CHECK);
        if has_changed || is_large || !check.file_id.is_settled(begin) {
            return;
        }
        let mut checks = self.load();
        checks.retain(|other| other.file_id != check.file_id);
        checks.insert(0, check);
        checks.truncate(MAX_IMAGES);
        let _ = self.store(&checks);
    }

    /// Removes the result for the file at `path`, so that the next check reads the file again.
    pub fn forget(&self, path: &Path) {
        let Ok(file_id) = FileId::of(path) else { return };
        let mut checks = self.load();
        checks.retain(|other| other.file_id != file_id);
        let _ = self.store(&checks);
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

    /// Reads all cached checks, the latest first; none where the file is absent or cannot be parsed.
    fn load(&self) -> Vec<CachedCheck> {
        let text = state::read(&self.file, MAX_CACHE_FILE).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn store(&self, checks: &[CachedCheck]) -> Result<()> {
        state::create_private_folder(self.file.parent().context("the check cache is not in a folder")?)?;
        state::write(&self.file, &serde_json::to_vec(checks)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::sleep;

    use super::super::checksums::{Algorithm, Sum};
    use super::*;

    /// A folder with a file that is older than [`SETTLE_TIME`].
    fn settled_file() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.img");
        fs::write(&file, "an image").unwrap();
        sleep(SETTLE_TIME);
        (dir, file)
    }

    /// The result of a check of `file`.
    fn check_of(file: &Path) -> CachedCheck {
        let file_id = FileId::of(file).unwrap();
        let sums = ImageSums { file: vec![Sum::new(Algorithm::Sha256, &[7; 32])], content: Vec::new() };
        let host_keys = Some(vec![HostKeyFile { partition: 2, path: "etc/ssh/ssh_host_rsa_key".into() }]);
        CachedCheck { file_id, size: 1024, hash: blake3::hash(b"its content"), sums, host_keys, facts: None }
    }

    #[test]
    fn a_check_is_cached_until_the_file_changes() {
        let (dir, file) = settled_file();
        let cache = CheckCache::new(&dir.path().join("state"));
        assert_eq!(cache.recall(&file), None);
        let check = check_of(&file);
        cache.keep(&file, check.clone(), SystemTime::now());
        assert_eq!(cache.recall(&file), Some(check.clone()));
        // The same bytes, with the old time of the content: the file was written all the same.
        let times = fs::FileTimes::new().set_modified(file.metadata().unwrap().modified().unwrap());
        fs::write(&file, fs::read(&file).unwrap()).unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_times(times).unwrap();
        assert_eq!(Fingerprint::from(&file.metadata().unwrap()), check.file_id.fingerprint);
        assert_eq!(cache.recall(&file), None);
    }

    #[test]
    fn the_check_of_a_file_that_changes_meanwhile_is_not_cached() {
        let (dir, file) = settled_file();
        let cache = CheckCache::new(dir.path());
        let before = check_of(&file);
        fs::write(&file, "another").unwrap();
        // A file that was just written may be written again in the same tick of the clock.
        for check in [before, check_of(&file)] {
            cache.keep(&file, check, SystemTime::now());
            assert_eq!(cache.recall(&file), None);
        }
    }

    #[test]
    fn only_the_named_file_is_forgotten() {
        let (dir, file) = settled_file();
        let cache = CheckCache::new(&dir.path().join("state"));
        let other = dir.path().join("y.img");
        fs::copy(&file, &other).unwrap();
        for file in [&file, &other] {
            cache.keep(file, check_of(file), SystemTime::now() + SETTLE_TIME);
        }
        cache.forget(&file);
        assert_eq!(cache.recall(&file), None);
        assert!(cache.recall(&other).is_some());
    }

    #[test]
    fn the_oldest_checks_are_forgotten() {
        let (dir, file) = settled_file();
        let cache = CheckCache::new(&dir.path().join("state"));
        let files = (0..=MAX_IMAGES).map(|n| dir.path().join(n.to_string())).collect::<Vec<_>>();
        for other in &files {
            fs::copy(&file, other).unwrap();
            cache.keep(other, check_of(other), SystemTime::now() + SETTLE_TIME);
        }
        assert_eq!(cache.load().len(), MAX_IMAGES);
        assert_eq!(cache.recall(&files[0]), None);
        assert!(cache.recall(&files[1]).is_some());
    }

    #[test]
    fn only_its_user_may_read_the_cache() {
        let (dir, file) = settled_file();
        let cache = CheckCache::new(&dir.path().join("state"));
        cache.keep(&file, check_of(&file), SystemTime::now());
        assert_eq!(cache.file.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_a_pipe_and_a_file_that_is_too_large_are_no_cache() {
        let (dir, file) = settled_file();
        let cache = CheckCache::new(&dir.path().join("state"));
        let keep = || cache.keep(&file, check_of(&file), SystemTime::now());
        keep();
        let moved = dir.path().join("elsewhere");
        fs::rename(&cache.file, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &cache.file).unwrap();
        assert_eq!(cache.recall(&file), None);
        fs::remove_file(&cache.file).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &cache.file, 0o600.into()).unwrap();
        assert_eq!(cache.recall(&file), None);
        fs::remove_file(&cache.file).unwrap();
        fs::File::create(&cache.file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(cache.recall(&file), None);
        // The large file is replaced.
        keep();
        assert!(cache.recall(&file).is_some());
    }

    #[test]
    fn fuzz() {
        let (dir, file) = settled_file();
        let cache = CheckCache::new(&dir.path().join("state"));
        cache.keep(&file, check_of(&file), SystemTime::now());
        crate::base::fuzz::check(&[&fs::read(&cache.file).unwrap()], |bytes| {
            let checks = serde_json::from_slice::<Vec<CachedCheck>>(bytes).unwrap_or_default();
            checks.iter().filter(|check| check.file_id.is_settled(SystemTime::now())).count()
        });
    }
}
