//! One checksum file: its text, and the sums that it has for an image.

mod names;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::names::path_fit;
use super::algorithm::NamedAlgorithm;
use super::line::{self, Entry};
use super::{Coverage, ExpectedSum, Origin, Sum};
use crate::base::bounded::{self, Links};
use crate::{bail, failure};

pub use names::Names;

/// The size of the largest list that is read, in bytes: room for 40,000 files.
const MAX_LIST: u64 = 4 << 20;
/// The greatest number of characters of a line that a message shows.
const SHOWN_LINE: usize = 120;

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
    pub algorithm: Option<NamedAlgorithm>,
}

/// A line of a checksum file that was parsed.
struct Line {
    /// The number of the line, from 0 on.
    number: usize,
    entry: Entry,
}

impl Line {
    /// Whether the line may be for the image `names` in a form that is not known: its path contains a name of the
    /// image, but does not fit it ([`path_fit`]). Where other lines have sums of the image (`has_sums`), a path with
    /// blanks, `copy of NAME`, names another file; else it may be `SIZE NAME`.
    fn is_doubtful(&self, names: &Names, folder: &Path, has_sums: bool) -> bool {
        let Some(path) = self.entry.path.as_deref() else { return false };
        let is_fit = names.paths().any(|(_, file)| path_fit(path, folder, file).is_some());
        let is_of_another = has_sums && path.contains([' ', '\t']);
        !is_fit && !is_of_another && names.are_in(path)
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
            if sums.is_empty() {
                sums.extend(self.sum_of_renamed_image(&lines, names));
            }
        }
        let has_sums = !sums.is_empty();
        if let Some(doubtful) = lines.iter().find(|line| line.is_doubtful(names, self.folder(), has_sums)) {
            return Err(self.unknown_line_error(text, doubtful.number, names));
        }
        if !has_sums && self.scope == Scope::One {
            return Err(self.no_sum_error(text, names));
        }
        Ok(sums)
    }

    /// The only sum in `lines`, although its path is none of `names`: the image was renamed. `None` where there is not
    /// exactly one sum, and where its line may be one of the image in a form that is not known.
    fn sum_of_renamed_image(&self, lines: &[Line], names: &Names) -> Option<ExpectedSum> {
        let [line] = lines else { return None };
        let has_sums = false;
        let is_doubtful = line.is_doubtful(names, self.folder(), has_sums);
        let coverage = Coverage::of_unnamed_sum(names.is_compressed);
        (!is_doubtful).then(|| self.expected_sum(coverage, &line.entry.sum))
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Whether `line` is a comment: one of an SFV file begins with `;`.
    fn is_comment(&self, line: &str) -> bool {
        line.starts_with('#') || self.algorithm == Some(NamedAlgorithm::Other) && line.starts_with(';')
    }

    /// Parses all lines but comments. Fails where a line that is not a heading contains the name of the image in a form
    /// that [`line::parse`] does not know.
    fn parse_lines(&self, text: &str, names: &Names) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !self.is_comment(line)) {
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
        let fit_of = |entry: &Entry| path_fit(entry.path.as_deref()?, self.folder(), path);
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
        let path = self.path.display();
        failure!(
            Refused,
            "{path} names {} in line {}, whose form is not understood: {}",
            names.image_name(),
            number + 1,
            shown_line(text, number);
            hint: "write the line as `sha256sum` does, or remove {path}"
        )
    }

    /// The error for a file of [`Scope::One`] whose `text` has no sum of the image `names`.
    fn no_sum_error(&self, text: &str, names: &Names) -> anyhow::Error {
        let kind = self.algorithm.map_or_else(|| "checksum".to_owned(), |algorithm| algorithm.to_string());
        let path = self.path.display();
        let image = names.image_name();
        let is_text = |line: &str| !line.trim().is_empty() && !self.is_comment(line);
        let is_other = self.algorithm == Some(NamedAlgorithm::Other);
        let Some(index) = text.lines().position(is_text).filter(|_| is_other) else {
            let kind = if is_other { "checksum".to_owned() } else { kind };
            return failure!(
                Refused, "{path} has no {kind} of {image}"; hint: "download {path} again, or remove it"
            );
        };
        let number = index + 1;
        failure!(
            Refused,
            "{path} has no {kind} of {image} that can be compared; line {number} is: {}",
            shown_line(text, index);
            hint: "compare the checksum in line {number} by yourself, then remove {path}"
        )
    }

    /// Reads the text of the checksum file.
    fn read(&self) -> Result<String> {
        let path = self.path.display();
        match bounded::read(&self.path, MAX_LIST, Links::Follow) {
            Ok(bytes) => Ok(decode_text(&bytes)),
            Err(_) if self.path.is_dir() => bail!(
                Refused,
                "{path} has the name of a checksum file, but is a folder";
                hint: "move the image into a folder of its own, or rename {path}"
            ),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => bail!(
                Refused,
                "{path} has the name of a checksum file, but is {error}";
                hint: "move the image into a folder of its own, or rename {path}"
            ),
            Err(error) => Err(error).with_context(|| format!("reading the checksum file {path}")),
        }
    }
}

/// The beginning of the line `number` (from 0) of `text`, for a message.
fn shown_line(text: &str, number: usize) -> String {
    text.lines().nth(number).unwrap_or_default().trim().chars().take(SHOWN_LINE).collect()
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

#[cfg(test)]
mod tests;
