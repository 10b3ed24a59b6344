//! Image files as streams of the bytes that belong on the card, whatever they are compressed with.

use std::fmt;
use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::decode::{Gzip, Xz, Zstd};
use super::fingerprint::{Changed, Fingerprint, UnchangedReader};
use super::limits::{Limits, OutOfMemory};
use super::xz;
use super::zstd_frames;
use crate::base::Bytes;
use crate::base::failure::ExitKind;
use crate::card::inspect::Format;

/// An image file that was opened once and told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file, as an absolute path.
    pub path: PathBuf,
    pub format: Format,
    /// The size of the file itself, and when it was changed.
    pub stored: Fingerprint,
    /// The decompressed size in bytes, where the structure of the file tells it. Then the file is whole
    /// as well, though what is inside may be damaged.
    pub size: Option<u64>,
    /// How far the decompression looks back, in bytes: so much memory it takes.
    pub window: u64,
    #[serde(default)]
    pub limits: Limits,
}

impl Source {
    /// # Errors
    /// A file that is missing, empty, no regular file, or a zstd file that is not whole.
    pub fn open(path: &Path) -> Result<Self> {
        let opening = || format!("opening the image {}", path.display());
        let path = path.canonicalize().map_err(|error| closed(path, error)).with_context(opening)?;
        if path.to_str().is_none() {
            let path = path.display();
            return Err(
                ExitKind::Refused.error(format!("the path of the image {path} is not UTF-8; rename it"))
            );
        }
        // A pipe without a writer would be waited for without end.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(nonblocking).open(&path);
        let mut file = file.map_err(|error| closed(&path, error)).with_context(opening)?;
        let facts = file.metadata().with_context(opening)?;
        if !facts.is_file() {
            let text = format!("{} is no file; an image file is needed", path.display());
            return Err(ExitKind::Refused.error(text));
        }
        if facts.len() == 0 {
            return Err(ExitKind::Refused.error(format!("the image {} is empty", path.display())));
        }
        let (mut head, stored) = (Vec::new(), Fingerprint::from(&facts));
        file.by_ref().take(xz::HEADERS).read_to_end(&mut head).with_context(opening)?;
        let format = Format::sniff(&head);
        let limits = Limits::default();
        let mut source = Self { path, format, stored, size: None, window: 0, limits };
        match format {
            Format::Raw => source.size = Some(stored.size),
            Format::Zstd => {
                let frames = zstd_frames::walk(&file, stored.size).with_context(|| source.damaged())?;
                (source.size, source.window) = (frames.content, frames.window);
            }
            Format::Xz => source.window = xz::window(&head).unwrap_or_default(),
            Format::Gzip => {}
        }
        Ok(source)
    }

    /// The same file with other limits.
    #[must_use]
    pub fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// # Errors
    /// Of [`ExitKind::Refused`] where its structure tells that it takes more than it may.
    pub fn check_limits(&self) -> Result<()> {
        let doing = || format!("the image {}", self.path.display());
        self.limits.check_memory(self.window).with_context(doing)?;
        if self.format != Format::Raw {
            self.limits.check_stored(self.stored.size).with_context(doing)?;
        }
        self.limits.check_content(self.size.unwrap_or_default())
    }

    /// `error` of a decoder, before anything was written. A lack of memory, and a change of the file while it is read, say
    /// nothing about what is in it.
    pub fn refusal(&self, error: &Error) -> anyhow::Error {
        let whole = OutOfMemory::of(error).is_some() || Changed::is(error);
        let (refusal, path) = (ExitKind::Refused.error(error), self.path.display());
        if whole { refusal.context(format!("the image {path}")) } else { refusal.context(self.damaged()) }
    }

    /// What is said of a file that cannot be decompressed.
    pub fn damaged(&self) -> String {
        let (path, format) = (self.path.display(), self.format);
        format!("the image {path} ({format}) is truncated or damaged; build or download it again")
    }

    /// The decompressed stream. A damaged or truncated file ends it in an error, never in silence.
    pub fn stream(&self) -> Result<Box<dyn Read + Send>> {
        self.decode(self.file()?)
    }

    /// The bytes of the file as it is stored. Where it was changed since it was opened first, that is an
    /// error of [`ExitKind::Verification`]; where it is changed later, its end is one.
    pub fn file(&self) -> Result<UnchangedReader> {
        self.opened(ExitKind::Verification)
    }

    /// The file, for a process that is to read it by [`Self::stream_of`].
    ///
    /// # Errors
    /// Of [`ExitKind::Refused`] where the file was changed since it was told apart.
    pub fn handed_over(&self) -> Result<File> {
        self.opened(ExitKind::Refused).map(UnchangedReader::into_file)
    }

    /// As [`Self::stream`], of the `file` that was opened before.
    pub fn stream_of(&self, file: &File) -> Result<Box<dyn Read + Send>> {
        self.decode(self.named(
            ExitKind::Verification,
            file.try_clone().and_then(|file| UnchangedReader::of(file, self.stored)),
        )?)
    }

    /// # Errors
    /// Of [`ExitKind::Refused`] where `file` was changed since it was told apart.
    pub fn check(&self, file: &File) -> Result<()> {
        let file = file.try_clone().and_then(|file| UnchangedReader::of(file, self.stored));
        self.named(ExitKind::Refused, file).map(drop)
    }

    fn opened(&self, changed: ExitKind) -> Result<UnchangedReader> {
        self.named(changed, UnchangedReader::open(&self.path, self.stored))
    }

    fn named(&self, changed: ExitKind, file: Result<UnchangedReader, Error>) -> Result<UnchangedReader> {
        let named = |error| if Changed::is(&error) { changed.error(error) } else { error.into() };
        file.map_err(named).with_context(|| format!("opening the image {}", self.path.display()))
    }

    /// What [`Self::stream`] gives, out of the bytes of the `file`, which is read to its end.
    pub fn decode<'a>(&self, file: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
        let opening = || format!("opening the image {}", self.path.display());
        let memory = self.limits.memory;
        Ok(match self.format {
            Format::Raw => Box::new(file),
            Format::Zstd => Box::new(Zstd::new(file, memory).with_context(opening)?),
            Format::Xz => Box::new(Xz::new(file, memory).with_context(opening)?),
            Format::Gzip => Box::new(Gzip::new(file, self.stored.size)),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        match self.size {
            Some(size) if self.format != Format::Raw => {
                write!(f, "{name}: {}, {} compressed", Bytes(size), Bytes(self.stored.size))
            }
            _ => write!(f, "{name}: {}", Bytes(self.stored.size)),
        }
    }
}

/// The error for a file at `path` that cannot be opened.
fn closed(path: &Path, error: Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound if path == Path::new("-") => ExitKind::Refused
            .error("an image is read more than once, so it cannot come from stdin; save it to a file"),
        ErrorKind::NotFound => {
            ExitKind::Refused.error("there is no such file; `cargo xtask sd-image HOST` builds an image")
        }
        ErrorKind::PermissionDenied => ExitKind::Permission.error(format!(
            "{error}; make the file and the folders above it readable for this user, or copy it to a folder of your own"
        )),
        _ => ExitKind::Io.error(error),
    }
}

#[cfg(test)]
mod tests;
