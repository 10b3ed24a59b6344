//! A file that must not change: an image is checked, shown in the plan, and read again by the worker.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{Error, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The size of a file and the time of its last change, by which a write to the file is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The size in bytes.
    pub size: u64,
    /// The time of the last change of its content, in seconds since 1970 and nanoseconds.
    modified: (i64, i64),
}

impl From<&Metadata> for Fingerprint {
    fn from(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// A reader of a file that fails at the end of the file if the fingerprint of the file has changed.
#[derive(Debug)]
pub struct UnchangedReader {
    file: File,
    /// The number of bytes read so far. The position of the file itself may be shared with other processes.
    position: u64,
    fingerprint: Fingerprint,
}

/// The cause of an error: the file has changed.
#[derive(Debug)]
pub struct Changed;

impl UnchangedReader {
    /// Opens the file at `path`, which had this `fingerprint` and must keep it.
    ///
    /// # Errors
    /// Those of [`File::open`], and [`Changed`].
    pub fn open(path: &Path, fingerprint: Fingerprint) -> Result<Self, Error> {
        Self::from_open(File::open(path)?, fingerprint)
    }

    /// Reads the open `file`, which must keep this `fingerprint`, from its start.
    ///
    /// # Errors
    /// [`Changed`], and a file without readable metadata.
    pub fn from_open(file: File, fingerprint: Fingerprint) -> Result<Self, Error> {
        let reader = Self { file, position: 0, fingerprint };
        reader.check()?;
        Ok(reader)
    }

    /// The file itself.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Fails with [`Changed`] where the file has another fingerprint now.
    fn check(&self) -> Result<(), Error> {
        let now = Fingerprint::from(&self.file.metadata()?);
        if now == self.fingerprint { Ok(()) } else { Err(Error::other(Changed)) }
    }
}

impl Read for UnchangedReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        if count == 0 {
            self.check()?;
        }
        Ok(count)
    }
}

impl Changed {
    /// The hint for an error with this cause.
    pub const HINT: &str = "run the same command again once nothing writes to the image";

    /// Whether `Changed` is the cause of `error`.
    pub fn is_cause_of(error: &Error) -> bool {
        error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file has changed since it was opened")
    }
}

impl std::error::Error for Changed {}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_is_written_to_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, "first").unwrap();
        let fingerprint = Fingerprint::from(&path.metadata().unwrap());
        let read = |mut reader: UnchangedReader| reader.read_to_string(&mut String::new());
        assert_eq!(read(UnchangedReader::open(&path, fingerprint).unwrap()).unwrap(), 5);
        let reader = UnchangedReader::open(&path, fingerprint).unwrap();
        // The kernel's clock for files goes in steps of some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(30));
        File::options().write(true).open(&path).unwrap().write_all(b"later").unwrap();
        assert!(Changed::is_cause_of(&read(reader).unwrap_err()));
        assert!(Changed::is_cause_of(&UnchangedReader::open(&path, fingerprint).unwrap_err()));
        std::fs::remove_file(&path).unwrap();
        assert!(!Changed::is_cause_of(&UnchangedReader::open(&path, fingerprint).unwrap_err()));
    }
}
