//! Image files as streams of their decompressed bytes, for every compression format.

mod open;
mod refusal;

use std::fmt;
use std::fs::File;
use std::io::{Error, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use self::open::OpenImage;
pub use self::refusal::may_be_whole;
use super::checksums::{Checksums, GivenSums};
use super::decode::{Bzip2, DOWNLOAD_AGAIN, Gzip, Xz, Zstd};
use super::fingerprint::{Changed, Fingerprint, UnchangedReader};
use super::limits::Limits;
use super::members::FoundTrailer;
use super::xz;
use super::zstd_frames;
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Event, shell};
use crate::card::inspect::{Format, OTHER_HEAD, OtherFile, WITH_DICTIONARY, content_path};
use crate::failure;

/// An image file whose format was detected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file, as an absolute path without links.
    pub path: PathBuf,
    /// The link that the user named instead of the file, as an absolute path.
    #[serde(skip)]
    pub link: Option<PathBuf>,
    pub format: Format,
    /// The size and the time of the stored file.
    pub stored: Fingerprint,
    /// The decompressed size in bytes; `None` where the structure of the file does not contain it. A file with a known
    /// size is not truncated, though its content may be damaged.
    pub size: Option<u64>,
    /// The window of the decompression in bytes, which is the memory that the decompression takes; 0 where it is
    /// unknown.
    pub window: u64,
    #[serde(default)]
    pub limits: Limits,
    /// The checksums that the user passes.
    #[serde(skip)]
    given: Box<GivenSums>,
    /// The bytes after the compressed stream, once the stream was read to its end.
    #[serde(skip)]
    pub trailer: FoundTrailer,
}

impl Source {
    /// Opens the file at `path` and detects its format.
    ///
    /// # Errors
    /// A file that is missing, empty or no regular file, a file that is known to be no disk image, and a truncated
    /// zstd file.
    pub fn open(path: &Path) -> Result<Self> {
        let link = open::absolute_link(path);
        let OpenImage { path, mut file, metadata } = open::open(path)?;
        let stored = Fingerprint::from(&metadata);
        let mut head = Vec::new();
        let read = file.by_ref().take(xz::HEADERS.max(OTHER_HEAD)).read_to_end(&mut head);
        read.with_context(|| format!("reading the image {}", path.display()))?;
        let mut source = Self {
            path,
            link,
            format: Format::sniff(&head),
            stored,
            size: None,
            window: 0,
            limits: Limits::default(),
            given: Box::default(),
            trailer: FoundTrailer::default(),
        };
        source.read_structure(&file, &head)?;
        Ok(source)
    }

    /// Whether the regular file at `path` is compressed, by how it begins.
    pub fn is_compressed(path: &Path) -> Result<bool> {
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(OTHER_HEAD).read_to_end(&mut head));
        read.with_context(|| format!("reading {}", path.display()))?;
        Ok(Format::sniff(&head) != Format::Raw)
    }

    /// Reads the size and the window from the structure of `file`, which begins with `head`. Fails for a file that is
    /// no image.
    fn read_structure(&mut self, file: &File, head: &[u8]) -> Result<()> {
        match self.format {
            Format::Raw => {
                if let Some(other) = OtherFile::sniff(head) {
                    return Err(self.other_file_refusal(other));
                }
                self.size = Some(self.stored.size);
            }
            Format::Zstd => {
                let frames = zstd_frames::read_headers(file, self.stored.size)
                    .with_context(|| self.decoding_context())?;
                if frames.needs_dictionary {
                    return Err(self.stored_file_refusal(WITH_DICTIONARY));
                }
                self.size = frames.content_size;
                self.window = frames.window;
            }
            Format::Xz => self.window = xz::window(head).unwrap_or_default(),
            Format::Gzip | Format::Bzip2 => {}
        }
        Ok(())
    }

    /// The warning of a name that belongs to another format: this tool detects the format by the content, but other
    /// programs detect it by the name. `None` for a right name.
    pub fn name_warning(&self) -> Option<Event> {
        let has_wrong_name = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Format::of_name(&name).is_some_and(|format| format != self.format)
        };
        let path = self.link.iter().chain([&self.path]).find(has_wrong_name)?;
        let name = path.display();
        Some(match self.format {
            Format::Raw => Event::warning_with_hint(
                format!(
                    "{name} is not compressed, whatever its name says: programs that go by the name reject it"
                ),
                format!("rename it to `{}`", path.with_extension("").display()),
            ),
            format => Event::warning_with_hint(
                format!(
                    "{name} is compressed with {format}, whatever its name says: programs that go by the name reject it \
                     or write the compressed bytes to a card"
                ),
                format!("give it the ending {}", format.ending()),
            ),
        })
    }

    /// The refusal of a file whose decompressed content is something else than a disk image.
    pub fn other_file_refusal(&self, other: OtherFile) -> anyhow::Error {
        let Some(decompress) = self.format.decompress_command() else {
            return self.stored_file_refusal(other);
        };
        let content = content_path(&self.path);
        let [file, unpacked] = [&self.path, &content].map(|path| shell::quote(&path.to_string_lossy()));
        let remedy = other.hint(&content);
        let hint = if other.needs_file() {
            format!("decompress it: `{decompress} {file} >{unpacked}`; then {remedy}")
        } else {
            remedy
        };
        failure!(
            Refused,
            "{} cannot be written to a card: it holds {}, compressed with {}",
            self.path.display(),
            other.name,
            self.format;
            hint: "{hint}"
        )
    }

    /// The refusal of a file that is itself, as it is stored, something else than a disk image.
    fn stored_file_refusal(&self, other: OtherFile) -> anyhow::Error {
        failure!(
            Refused,
            "{} cannot be written to a card: it is {}",
            self.path.display(),
            other.name;
            hint: "{}", other.hint(&self.path)
        )
    }

    /// The same file with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same file, which must have the sums `given`.
    #[must_use]
    pub fn with_sums(self, given: GivenSums) -> Self {
        Self { given: Box::new(given), ..self }
    }

    /// The sums that the file must have.
    ///
    /// # Errors
    /// Those of [`Checksums::find`].
    pub fn checksums(&self) -> Result<Checksums> {
        Checksums::find(&self.path, self.link.as_deref(), self.format != Format::Raw, &self.given)
    }

    /// Checks the limits, as far as the structure of the file shows the memory and the size.
    ///
    /// # Errors
    /// [`ExitKind::Refused`] where a limit is exceeded.
    pub fn check_limits(&self) -> Result<()> {
        let image = || format!("the image {}", self.path.display());
        self.limits.check_memory(self.window).with_context(image)?;
        if self.format != Format::Raw {
            self.limits.check_stored(self.stored.size).with_context(image)?;
        }
        self.limits.check_content(self.size.unwrap_or_default())
    }

    /// The decompressed stream. For a damaged or truncated file, the stream ends with an error.
    pub fn stream(&self) -> Result<Box<dyn Read + Send>> {
        self.decode(self.stored_bytes()?)
    }

    /// A reader of the stored bytes. Fails with [`ExitKind::Verification`] where the file has changed since
    /// [`Self::open`]; after a later change, the reader fails at the end of the file.
    pub fn stored_bytes(&self) -> Result<UnchangedReader> {
        self.reopen(ExitKind::Verification)
    }

    /// The open file, for another process that reads it with [`Self::stream_of`].
    ///
    /// # Errors
    /// [`ExitKind::Refused`] where the file has changed since [`Self::open`].
    pub fn file_for_worker(&self) -> Result<File> {
        self.reopen(ExitKind::Refused).map(UnchangedReader::into_file)
    }

    /// [`Self::stream`] of the open `file`, which another process has opened with [`Self::file_for_worker`].
    pub fn stream_of(&self, file: &File) -> Result<Box<dyn Read + Send>> {
        let reader = file.try_clone().and_then(|file| UnchangedReader::from_open(file, self.stored));
        self.decode(self.explain_change(ExitKind::Verification, reader)?)
    }

    /// Checks that `file` has the size and the time of the file that [`Self::open`] has opened.
    ///
    /// # Errors
    /// [`ExitKind::Refused`] where it has others.
    pub fn check_unchanged(&self, file: &File) -> Result<()> {
        let reader = file.try_clone().and_then(|file| UnchangedReader::from_open(file, self.stored));
        self.explain_change(ExitKind::Refused, reader).map(drop)
    }

    /// Opens the file again. Fails with the exit kind `if_changed` where the file has changed.
    fn reopen(&self, if_changed: ExitKind) -> Result<UnchangedReader> {
        self.explain_change(if_changed, UnchangedReader::open(&self.path, self.stored))
    }

    /// `reader`, with a context for every error, and with the exit kind `if_changed` and a hint for [`Changed`].
    fn explain_change(
        &self,
        if_changed: ExitKind,
        reader: Result<UnchangedReader, Error>,
    ) -> Result<UnchangedReader> {
        let explained = reader.map_err(|error| {
            if Changed::is_cause_of(&error) {
                if_changed.error_with_hint(error, Changed::HINT)
            } else {
                error.into()
            }
        });
        explained.with_context(|| format!("opening the image {}", self.path.display()))
    }

    /// The decompressed stream of the stored bytes in `file`, which is read to its end.
    pub fn decode<'a>(&self, file: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
        let opening = || format!("opening the image {}", self.path.display());
        let memory = self.limits.memory;
        Ok(match self.format {
            Format::Raw => Box::new(file),
            Format::Zstd => Box::new(Zstd::new(file, memory).with_context(opening)?),
            Format::Xz => Box::new(Xz::new(file, memory).with_context(opening)?),
            Format::Gzip => Box::new(Gzip::new(file, self.stored.size, self.trailer.clone())),
            Format::Bzip2 => Box::new(Bzip2::new(file, self.stored.size, self.trailer.clone())),
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

#[cfg(test)]
mod tests;
