//! One checksum file: its text, and the sums that it has for an image.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::line::{self, Entry};
use super::sum::{Algorithm, Sum};
use super::{Covers, Expected, Origin};
use crate::bail;
use crate::base::bounded::{self, Links};

/// The size of the largest list that is read, in bytes: 40,000 files.
const MAX_LIST: u64 = 4 << 20;
/// The number of characters of a line in messages.
const SHOWN_LINE: usize = 120;

/// The endings of compressed files.
const COMPRESSIONS: &[&str] = &["zst", "zstd", "xz", "gz", "bz2"];

/// The names under which an image can be listed.
#[derive(Clone, Debug)]
pub struct Names {
    /// The image as an absolute path.
    pub image: PathBuf,
    /// The same path without the ending of the compression, for a compressed image: the path of the content.
    pub content: Option<PathBuf>,
    is_compressed: bool,
}

/// What a checksum file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One file: a sum without a name, or with another one, is for the image as well.
    One,
    /// Many files: it may have no sum of the image.
    Many,
}

/// A checksum file.
#[derive(Clone, Debug)]
pub struct ChecksumFile {
    pub path: PathBuf,
    pub scope: Scope,
    /// The algorithm by the name of the file.
    pub algorithm: Option<Algorithm>,
}

/// How well a listed path fits the image; the best comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// The path leads from the folder of the list to the image.
    Exact,
    /// The path of the image ends with the whole listed path.
    End,
    /// The last part is the name of the image.
    LastPart,
}

impl Names {
    /// The names of the file `image`, which is compressed or not.
    pub fn new(image: &Path, is_compressed: bool) -> Self {
        let ending =
            image.extension().is_some_and(|ending| COMPRESSIONS.iter().any(|known| ending == *known));
        let content = (is_compressed && ending).then(|| image.with_extension(""));
        Self { image: image.to_owned(), content, is_compressed }
    }

    /// The names in lower case that a checksum file of this image alone can begin with.
    pub fn all(&self) -> impl Iterator<Item = String> {
        let content = self.content.as_deref().unwrap_or(&self.image);
        let paths = [self.image.clone(), content.to_owned(), content.with_extension("")];
        paths.map(|path| file_name(&path).to_ascii_lowercase()).into_iter()
    }

    /// The file name of the image.
    pub fn name(&self) -> String {
        file_name(&self.image)
    }

    /// The paths of the image and of its content, with what a sum of each covers.
    fn targets(&self) -> impl Iterator<Item = (Covers, &Path)> {
        let content = self.content.iter().map(|path| (Covers::Content, path.as_path()));
        std::iter::once((Covers::File, self.image.as_path())).chain(content)
    }

    fn are_mentioned(&self, line: &str) -> bool {
        self.targets().any(|(_, path)| line::mentions(line, &file_name(path)))
    }
}

impl ChecksumFile {
    /// The sums of the image `names`.
    ///
    /// # Errors
    /// `Refused` for a line that names the image in a form that is not understood, and for a file of [`Scope::One`]
    /// without a sum.
    pub fn sums(&self, names: &Names) -> Result<Vec<Expected>> {
        self.sums_in(&self.read()?, names)
    }

    fn sums_in(&self, text: &str, names: &Names) -> Result<Vec<Expected>> {
        let lines = self.entries(text, names)?;
        let entries = lines.iter().map(|(_, entry)| entry).collect::<Vec<_>>();
        let mut found =
            names.targets().flat_map(|(covers, path)| self.named(&entries, covers, path)).collect::<Vec<_>>();
        if self.scope == Scope::One {
            found.extend(self.unnamed(&entries, names, found.is_empty()));
        }
        if !found.is_empty() {
            return Ok(found);
        }
        // `SUM SIZE NAME` reads as a sum of the file `SIZE NAME`.
        let is_doubtful = |(_, entry): &&(usize, Entry)| {
            entry.path.as_deref().is_some_and(|path| path.contains([' ', '\t']) && names.are_mentioned(path))
        };
        match lines.iter().find(is_doubtful) {
            Some((number, _)) => self.refuse_line(text, *number, names),
            None if self.scope == Scope::One => {
                let kind = self.algorithm.map_or_else(|| "checksum".to_owned(), |it| it.to_string());
                let path = self.path.display();
                bail!(Refused, "{path} has no {kind} of {}", names.name(); hint: "download {path} again, or remove it")
            }
            None => Ok(Vec::new()),
        }
    }

    /// The entries of all lines, with the numbers of the lines from 0 on.
    fn entries(&self, text: &str, names: &Names) -> Result<Vec<(usize, Entry)>> {
        let mut entries = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let is_heading = self.scope == Scope::One && line.trim_end().ends_with(':');
            match line::parse(line, self.algorithm) {
                Some(entry) => entries.push((number, entry)),
                None if names.are_mentioned(line) && !is_heading => {
                    return self.refuse_line(text, number, names);
                }
                None => {}
            }
        }
        Ok(entries)
    }

    /// The sums of the file `path`: those of the `entries` whose paths fit it best.
    fn named(&self, entries: &[&Entry], covers: Covers, path: &Path) -> Vec<Expected> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let fit = |entry: &Entry| fit(entry.path.as_deref()?, folder, path);
        let fits = entries.iter().filter_map(|entry| Some((fit(entry)?, &entry.sum))).collect::<Vec<_>>();
        let best = fits.iter().map(|(fit, _)| *fit).min();
        fits.iter().filter(|(fit, _)| Some(*fit) == best).map(|(_, sum)| self.expected(covers, sum)).collect()
    }

    /// The sums without a path. If the only entry names another file, and none names the image (`none_named`), its sum
    /// counts too: the image was renamed.
    fn unnamed(&self, entries: &[&Entry], names: &Names, none_named: bool) -> Vec<Expected> {
        let covers = Covers::of_unnamed(names.is_compressed);
        let without_path = entries.iter().filter(|entry| entry.path.is_none());
        let sums = without_path.map(|entry| self.expected(covers, &entry.sum)).collect::<Vec<_>>();
        match entries {
            [entry] if none_named && sums.is_empty() => vec![self.expected(covers, &entry.sum)],
            _ => sums,
        }
    }

    fn expected(&self, covers: Covers, sum: &Sum) -> Expected {
        Expected { origin: Origin::File(self.path.clone()), covers, sum: sum.clone() }
    }

    /// Refuses line `number` (from 0) of `text`, which names the image in a form that [`line::parse`] does not know.
    fn refuse_line<T>(&self, text: &str, number: usize, names: &Names) -> Result<T> {
        let line = text.lines().nth(number).unwrap_or_default().trim();
        let line = line.chars().take(SHOWN_LINE).collect::<String>();
        let path = self.path.display();
        bail!(
            Refused,
            "{path} names {} in line {}, whose form is not understood: {line}",
            names.name(),
            number + 1;
            hint: "write the line as `sha256sum` does, or remove {path}"
        )
    }

    fn read(&self) -> Result<String> {
        let path = self.path.display();
        match bounded::read(&self.path, MAX_LIST, Links::Follow) {
            Ok(bytes) => Ok(decoded(&bytes)),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => {
                bail!(Refused, "{path} has the name of a checksum file, but is {error}"; hint: "remove {path}")
            }
            Err(error) => Err(error).with_context(|| format!("reading the checksum {path}")),
        }
    }
}

/// The text in `bytes`: UTF-8, or UTF-16 where a byte order mark says so, as PowerShell writes it.
fn decoded(bytes: &[u8]) -> String {
    let wide = |number: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units = bytes.as_chunks::<2>().0.iter().map(|pair| number(*pair)).collect::<Vec<_>>();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => wide(u16::from_be_bytes, rest),
        _ => String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(),
    }
}

fn fit(listed: &str, folder: &Path, file: &Path) -> Option<Fit> {
    let name = file_name(file);
    let path = plain(Path::new(listed));
    let last = |separators: &[char]| listed.rsplit(separators).next().map(str::trim) == Some(&name);
    if plain(&folder.join(&path)) == file {
        Some(Fit::Exact)
    } else if path.is_relative() && file.ends_with(&path) {
        Some(Fit::End)
    } else {
        (last(&['/']) || last(&['/', '\\'])).then_some(Fit::LastPart)
    }
}

/// `path` without `.`, and without `..` where the folder before it is known.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
