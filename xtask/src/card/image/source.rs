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
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;

    fn packed(format: Format, bytes: &[u8]) -> Vec<u8> {
        match format {
            Format::Raw => bytes.to_vec(),
            Format::Zstd => zstd::encode_all(bytes, 3).unwrap(),
            Format::Xz => {
                let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
                writer.write_all(bytes).unwrap();
                writer.finish().unwrap()
            }
            Format::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(bytes).unwrap();
                writer.finish().unwrap()
            }
        }
    }

    fn read(file: &[u8]) -> Result<(Format, Vec<u8>)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("an image");
        std::fs::write(&path, file).unwrap();
        let source = Source::open(&path)?;
        let mut bytes = Vec::new();
        source.stream()?.read_to_end(&mut bytes)?;
        Ok((source.format, bytes))
    }

    #[test]
    fn every_format_in_one_part_and_in_two() {
        let bytes = (0..200_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        let (first, second) = bytes.split_at(333_333);
        for format in [Format::Raw, Format::Zstd, Format::Xz, Format::Gzip] {
            assert_eq!(read(&packed(format, &bytes)).unwrap(), (format, bytes.clone()));
            let parts = [packed(format, first), packed(format, second)].concat();
            assert_eq!(read(&parts).unwrap(), (format, bytes.clone()), "{format}");
        }
    }

    #[test]
    fn a_large_window() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        encoder.write_all(&[7; 1000]).unwrap();
        assert_eq!(read(&encoder.finish().unwrap()).unwrap(), (Format::Zstd, vec![7; 1000]));
    }

    /// Skippable frames of zstd, padding of xz, and members of gzip without content: reading them takes hours.
    #[test]
    fn a_file_of_padding() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("an image");
        for format in [Format::Zstd, Format::Xz, Format::Gzip] {
            let mut file = File::create(&path).unwrap();
            let skippable = [&b"\x50\x2a\x4d\x18"[..], &(3_u32 << 30).to_le_bytes()].concat();
            let begin = if format == Format::Zstd { skippable } else { packed(format, &[7; 512]) };
            file.write_all(&begin).unwrap();
            let len = if format == Format::Zstd { (3 << 30) + 8 } else { 3 << 30 };
            file.set_len(len).unwrap();
            let source = Source::open(&path).unwrap();
            assert_eq!(source.format, format);
            source.check_limits().unwrap();
            let error = source.within(Limits::new(None, Some(64 << 20))).check_limits().unwrap_err();
            let words = "it has 3.0 GiB compressed, more than the 64.0 MiB that its content may have";
            assert!(format!("{error:#}").contains(words), "{error:#}");
            assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused);
        }
    }

    #[test]
    fn sizes_that_the_structure_tells() {
        let (dir, bytes) = (tempfile::tempdir().unwrap(), [1; 3000]);
        let path = dir.path().join("an image");
        let framed = zstd::bulk::compress(&bytes, 1).unwrap();
        let (raw, gzip) = (packed(Format::Raw, &bytes), packed(Format::Gzip, &bytes));
        for (file, promised) in [(raw, Some(3000)), (framed, Some(3000)), (gzip, None)] {
            std::fs::write(&path, file).unwrap();
            assert_eq!(Source::open(&path).unwrap().size, promised);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = (0..200_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
        for format in [Format::Zstd, Format::Xz, Format::Gzip] {
            let whole = packed(format, &bytes);
            for cut in [whole.len() / 2, whole.len() - 1] {
                assert!(read(&whole[..cut]).is_err(), "{format} cut at {cut}");
            }
            assert!(read(&[&whole[..], b"garbage after it"].concat()).is_err(), "{format} with a tail");
        }
        assert!(read(b"").unwrap_err().to_string().ends_with("is empty"));
    }

    #[test]
    fn what_is_no_image_file_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, named) = (dir.path().join("fifo"), dir.path().join(OsStr::from_bytes(b"\xff.img")));
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
        std::fs::write(&named, "x").unwrap();
        for (path, expected) in [
            (Path::new("/"), "/ is no file; an image file is needed"),
            (&fifo, "is no file; an image file is needed"),
            (&named, "is not UTF-8; rename it"),
            (Path::new("-"), "cannot come from stdin; save it to a file"),
            (
                &dir.path().join("absent"),
                "there is no such file; `cargo xtask sd-image HOST` builds an image",
            ),
        ] {
            let error = Source::open(path).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{error:#}");
            assert_eq!(crate::base::failure::kind(&error), ExitKind::Refused, "{error:#}");
        }
    }

    #[test]
    fn why_a_file_cannot_be_opened() {
        for (error, words, kind) in [
            (
                ErrorKind::PermissionDenied,
                "permission denied; make the file and the folders",
                ExitKind::Permission,
            ),
            (ErrorKind::NotFound, "there is no such file", ExitKind::Refused),
            (ErrorKind::TimedOut, "timed out", ExitKind::Io),
        ] {
            let error = closed(Path::new("a.img"), error.into());
            assert!(error.to_string().starts_with(words), "{error}");
            assert_eq!(crate::base::failure::kind(&error), kind, "{error}");
        }
    }
}
