//! A file that must stay as it was: an image is looked at, agreed to, and read again by the writer.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{Error, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What a file is known by: whoever writes to it changes that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// In bytes.
    pub size: u64,
    /// The time of the last change of its content, in seconds since 1970 and nanoseconds.
    modified: (i64, i64),
}

impl From<&Metadata> for Fingerprint {
    fn from(facts: &Metadata) -> Self {
        Self { size: facts.len(), modified: (facts.mtime(), facts.mtime_nsec()) }
    }
}

/// A file whose end is an error where it is not, or not any more, the one that has the stamp.
#[derive(Debug)]
pub struct UnchangedReader {
    file: File,
    /// How far it was read, in bytes. The position of the file itself may be shared.
    at: u64,
    stamp: Fingerprint,
}

/// The reason of an error: the file is another one by now.
#[derive(Debug)]
pub struct Changed;

impl UnchangedReader {
    /// # Errors
    /// What [`File::open`] says, and [`Changed`].
    pub fn open(path: &Path, stamp: Fingerprint) -> Result<Self, Error> {
        Self::of(File::open(path)?, stamp)
    }

    /// # Errors
    /// [`Changed`], and what cannot be looked at.
    pub fn of(file: File, stamp: Fingerprint) -> Result<Self, Error> {
        let unchanged = Self { file, at: 0, stamp };
        unchanged.check().map(|()| unchanged)
    }

    pub fn into_file(self) -> File {
        self.file
    }

    fn check(&self) -> Result<(), Error> {
        let now = Fingerprint::from(&self.file.metadata()?);
        if now == self.stamp { Ok(()) } else { Err(Error::other(Changed)) }
    }
}

impl Read for UnchangedReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        if count == 0 {
            self.check()?;
        }
        Ok(count)
    }
}

impl Changed {
    pub fn is(error: &Error) -> bool {
        error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was changed in the meantime; start again once it stays as it is")
    }
}

impl std::error::Error for Changed {}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, "first").unwrap();
        let stamp = Fingerprint::from(&path.metadata().unwrap());
        let read = |mut file: UnchangedReader| file.read_to_string(&mut String::new());
        assert_eq!(read(UnchangedReader::open(&path, stamp).unwrap()).unwrap(), 5);
        let open = UnchangedReader::open(&path, stamp).unwrap();
        // The kernel's clock for files goes in steps of some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(30));
        File::options().write(true).open(&path).unwrap().write_all(b"later").unwrap();
        assert!(Changed::is(&read(open).unwrap_err()));
        assert!(Changed::is(&UnchangedReader::open(&path, stamp).unwrap_err()));
        std::fs::remove_file(&path).unwrap();
        assert!(!Changed::is(&UnchangedReader::open(&path, stamp).unwrap_err()));
    }
}
