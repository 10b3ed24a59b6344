//! One checksum file: its text, and the sums that it has for an image.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::line::{self, Entry};
use super::sum::{Algorithm, Sum};
use super::{Coverage, ExpectedSum, Origin};
use crate::base::bounded::{self, Links};
use crate::{bail, failure};

/// The size of the largest list that is read, in bytes: room for 40,000 files.
const MAX_LIST: u64 = 4 << 20;
/// The greatest number of characters of a line that a message shows.
const SHOWN_LINE: usize = 120;

/// The endings of compressed files, without the dot.
const COMPRESSIONS: &[&str] = &["zst", "zstd", "xz", "gz", "bz2"];

/// The names under which an image can be listed.
#[derive(Clone, Debug)]
pub struct Names {
    /// The absolute path of the image.
    pub image: PathBuf,
    /// The path of the decompressed content: that of the image without the ending of the compression. `None` for an
    /// image that is not compressed, or whose name has no such ending.
    content: Option<PathBuf>,
    is_compressed: bool,
}

/// The files for which a checksum file has sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One file, the image: a sum without a path, or with another path, is of the image too.
    One,
    /// Many files: there may be no sum of the image.
    Many,
}

/// A checksum file.
#[derive(Clone, Debug)]
pub struct ChecksumFile {
    pub path: PathBuf,
    pub scope: Scope,
    /// The algorithm by the name of the checksum file.
    pub algorithm: Option<Algorithm>,
}

/// How well a listed path fits the image. The best fit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// The listed path leads from the folder of the list to the image.
    Exact,
    /// The path of the image ends with the whole listed path.
    End,
    /// The last part of the listed path is the name of the image.
    LastPart,
}

/// A line of a checksum file that was parsed.
struct Line {
    /// The number of the line, from 0 on.
    number: usize,
    entry: Entry,
}

impl Line {
    /// Whether the line may be one of the image `names` in a form that is not known: `SUM SIZE NAME` parses as a sum of
    /// the file `SIZE NAME`.
    fn is_doubtful(&self, names: &Names) -> bool {
        self.entry.path.as_deref().is_some_and(|path| path.contains([' ', '\t']) && names.are_in(path))
    }
}

impl Names {
    /// The names of the file `image`.
    pub fn new(image: &Path, is_compressed: bool) -> Self {
        let has_ending =
            image.extension().is_some_and(|ending| COMPRESSIONS.iter().any(|known| ending == *known));
        let content = (is_compressed && has_ending).then(|| image.with_extension(""));
        Self { image: image.to_owned(), content, is_compressed }
    }

    /// The beginnings of names of checksum files that are for this image alone, in lower case: the names of the image,
    /// of its content, and of the content without an ending.
    pub fn own_prefixes(&self) -> [String; 3] {
        let content = self.content.as_deref().unwrap_or(&self.image);
        let without_ending = content.with_extension("");
        let paths: [&Path; 3] = [&self.image, content, &without_ending];
        paths.map(|path| file_name(path).to_ascii_lowercase())
    }

    /// The file name of the image.
    pub fn image_name(&self) -> String {
        file_name(&self.image)
    }

    /// The paths of the image and of its content, each with the coverage of a sum with this path.
    fn paths(&self) -> impl Iterator<Item = (Coverage, &Path)> {
        let content = self.content.iter().map(|path| (Coverage::Content, path.as_path()));
        std::iter::once((Coverage::File, self.image.as_path())).chain(content)
    }

    /// Whether `line` contains the name of the image or of its content.
    fn are_in(&self, line: &str) -> bool {
        self.paths().any(|(_, path)| line::mentions(line, &file_name(path)))
    }
}

impl ChecksumFile {
    /// Reads the checksum file, and returns the sums of the image `names` in it.
    ///
    /// # Errors
    /// `Refused` for a line that names the image in a form that is not understood, and for a file of [`Scope::One`]
    /// without a sum.
    pub fn read_sums(&self, names: &Names) -> Result<Vec<ExpectedSum>> {
        self.parse_sums(&self.read()?, names)
    }

    /// The sums of the image `names` in `text`.
    fn parse_sums(&self, text: &str, names: &Names) -> Result<Vec<ExpectedSum>> {
        let lines = self.parse_lines(text, names)?;
        let entries = lines.iter().map(|line| &line.entry).collect::<Vec<_>>();
        let mut sums = Vec::new();
        for (coverage, path) in names.paths() {
            sums.extend(self.sums_of_path(&entries, coverage, path));
        }
        if self.scope == Scope::One {
            let coverage = Coverage::of_unnamed_sum(names.is_compressed);
            let without_path = entries.iter().filter(|entry| entry.path.is_none());
            sums.extend(without_path.map(|entry| self.expected_sum(coverage, &entry.sum)));
            if let ([entry], true) = (entries.as_slice(), sums.is_empty()) {
                // The only sum is of another path: the image was renamed.
                sums.push(self.expected_sum(coverage, &entry.sum));
            }
        }
        if !sums.is_empty() {
            return Ok(sums);
        }
        if let Some(doubtful) = lines.iter().find(|line| line.is_doubtful(names)) {
            return Err(self.unknown_line_error(text, doubtful.number, names));
        }
        match self.scope {
            Scope::One => Err(self.no_sum_error(names)),
            Scope::Many => Ok(Vec::new()),
        }
    }

    /// Parses all lines but comments. Fails where a line that is not a heading contains the name of the image in a form
    /// that [`line::parse`] does not know.
    fn parse_lines(&self, text: &str, names: &Names) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let is_heading = self.scope == Scope::One && line.trim_end().ends_with(':');
            match line::parse(line, self.algorithm) {
                Some(entry) => lines.push(Line { number, entry }),
                None if names.are_in(line) && !is_heading => {
                    return Err(self.unknown_line_error(text, number, names));
                }
                None => {}
            }
        }
        Ok(lines)
    }

    /// The sums of the file `path`: those of the `entries` whose paths fit `path` best.
    fn sums_of_path(&self, entries: &[&Entry], coverage: Coverage, path: &Path) -> Vec<ExpectedSum> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let fit_of = |entry: &Entry| path_fit(entry.path.as_deref()?, folder, path);
        let Some(best) = entries.iter().filter_map(|entry| fit_of(entry)).min() else { return Vec::new() };
        let best_entries = entries.iter().filter(|entry| fit_of(entry) == Some(best));
        best_entries.map(|entry| self.expected_sum(coverage, &entry.sum)).collect()
    }

    /// The expected sum that is `sum` in this checksum file.
    fn expected_sum(&self, coverage: Coverage, sum: &Sum) -> ExpectedSum {
        ExpectedSum { origin: Origin::File(self.path.clone()), coverage, sum: sum.clone() }
    }

    /// The error for line `number` (from 0) of `text`, which names the image in a form that is not known.
    fn unknown_line_error(&self, text: &str, number: usize, names: &Names) -> anyhow::Error {
        let line = text.lines().nth(number).unwrap_or_default().trim();
        let shown = line.chars().take(SHOWN_LINE).collect::<String>();
        let path = self.path.display();
        failure!(
            Refused,
            "{path} names {} in line {}, whose form is not understood: {shown}",
            names.image_name(),
            number + 1;
            hint: "write the line as `sha256sum` does, or remove {path}"
        )
    }

    /// The error for a checksum file of the image that has no sum of it.
    fn no_sum_error(&self, names: &Names) -> anyhow::Error {
        let kind = self.algorithm.map_or_else(|| "checksum".to_owned(), |algorithm| algorithm.to_string());
        let path = self.path.display();
        failure!(
            Refused,
            "{path} has no {kind} of {}",
            names.image_name();
            hint: "download {path} again, or remove it"
        )
    }

    /// Reads the text of the checksum file.
    fn read(&self) -> Result<String> {
        let path = self.path.display();
        match bounded::read(&self.path, MAX_LIST, Links::Follow) {
            Ok(bytes) => Ok(decode_text(&bytes)),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => {
                bail!(Refused, "{path} has the name of a checksum file, but is {error}"; hint: "remove {path}")
            }
            Err(error) => Err(error).with_context(|| format!("reading the checksum {path}")),
        }
    }
}

/// Decodes the text in `bytes`: UTF-8, or UTF-16 after a byte order mark, as PowerShell writes it.
fn decode_text(bytes: &[u8]) -> String {
    match bytes {
        [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(),
    }
}

/// Decodes UTF-16, of which `unit_of` makes a unit of each two bytes.
fn decode_utf16(bytes: &[u8], unit_of: fn([u8; 2]) -> u16) -> String {
    let (pairs, _odd_byte) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit_of(*pair)).collect::<Vec<_>>();
    String::from_utf16_lossy(&units)
}

/// How well `listed`, a path in a checksum file in `folder`, fits the path `file`; `None` where it does not fit.
fn path_fit(listed: &str, folder: &Path, file: &Path) -> Option<Fit> {
    let path = normalize(Path::new(listed));
    if normalize(&folder.join(&path)) == file {
        return Some(Fit::Exact);
    }
    if path.is_relative() && file.ends_with(&path) {
        return Some(Fit::End);
    }
    let name = file_name(file);
    let is_last_part = |separators: &[char]| listed.rsplit(separators).next().map(str::trim) == Some(&name);
    // A backslash separates in Windows, and is a part of the name elsewhere.
    (is_last_part(&['/']) || is_last_part(&['/', '\\'])).then_some(Fit::LastPart)
}

/// `path` without `.`, and without `..` where the folder before it is known.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

/// The last part of `path`; empty where there is none.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
