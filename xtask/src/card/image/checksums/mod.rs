//! A checksum beside an image, as `sha256sum` writes it: the sum that its bytes must have.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::base::bounded::{self, Links};
use crate::base::failure::ExitKind;

/// The list of all files of a folder.
const LIST: &str = "SHA256SUMS";
/// The largest list that is read, in bytes: 40,000 files.
const LARGEST: u64 = 4 << 20;
/// How much of a sum is shown: enough to compare by eye, in hexadecimal digits.
const SHOWN: usize = 12;

/// What the file beside an image says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    pub path: PathBuf,
    /// The SHA-256 of the image file as it is stored, in lower-case hexadecimal digits.
    pub sum: String,
}

impl Sidecar {
    /// Looks for `IMAGE.sha256`, and then for a `SHA256SUMS` that names the image.
    ///
    /// # Errors
    /// A file that cannot be read, and an `IMAGE.sha256` without a sum for the image.
    pub fn find(image: &Path) -> Result<Option<Self>> {
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        let (own, list) = (format!("{name}.sha256"), image.with_file_name(LIST));
        let own = image.with_file_name(own);
        let mut found = Vec::new();
        if let Some(text) = read(&own)? {
            let sums = listed(&text, &name);
            let sums = if sums.is_empty() { only(&text).into_iter().collect() } else { sums };
            if sums.is_empty() {
                let path = own.display();
                let text = format!("{path} holds no SHA-256 of {name}; download it again, or remove it");
                return Err(ExitKind::Refused.error(text));
            }
            found.extend(sums.into_iter().map(|sum| Self { path: own.clone(), sum }));
        }
        if let Some(text) = read(&list)? {
            let sums = listed(&text, &name);
            if sums.is_empty() && mentions(&text, &name) {
                let path = list.display();
                let text =
                    format!("{path} names {name}, but without a SHA-256; download it again, or remove it");
                return Err(ExitKind::Refused.error(text));
            }
            found.extend(sums.into_iter().map(|sum| Self { path: list.clone(), sum }));
        }
        Self::agreed(image, found)
    }

    /// The one sum that all of `found` are. Which of two is meant nobody can know, so neither is taken.
    fn agreed(image: &Path, found: Vec<Self>) -> Result<Option<Self>> {
        let mut found = found.into_iter();
        let Some(first) = found.next() else { return Ok(None) };
        let Some(other) = found.find(|other| other.sum != first.sum) else { return Ok(Some(first)) };
        let (image, own, its) = (image.display(), first.path.display(), other.path.display());
        let [one, two] = [&first.sum, &other.sum].map(|sum| &sum[..SHOWN]);
        Err(ExitKind::Refused.error(format!(
            "there are two different SHA-256 for {image}: one in {own} begins with {one}, one in {its} with {two}; \
             remove the one that is not meant"
        )))
    }

    /// # Errors
    /// Of [`ExitKind::Refused`] where `found` is another sum than that for `image`.
    pub fn compare(&self, image: &Path, found: &str) -> Result<()> {
        if self.sum == found {
            return Ok(());
        }
        let (image, path) = (image.display(), self.path.display());
        let [found, meant] = [found, &self.sum].map(|sum| &sum[..SHOWN]);
        Err(ExitKind::Refused.error(format!(
            "the image {image} is not the one that {path} is for: its SHA-256 begins with {found}, not {meant}; \
             download both again, or remove {path} if the image is meant to be another"
        )))
    }
}

impl fmt::Display for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the SHA-256 is that of {}", self.path.display())
    }
}

/// The text of a file that need not be there.
fn read(path: &Path) -> Result<Option<String>> {
    match bounded::read(path, LARGEST, Links::Follow) {
        // Some programs begin a text with a mark of its encoding.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => {
            let path = path.display();
            let text = format!("{path} is {error}, though its name says that it holds a checksum; remove it");
            Err(ExitKind::Refused.error(text))
        }
        Err(error) => Err(error).with_context(|| format!("reading the checksum {}", path.display())),
    }
}

/// The sums of the file `name` in a list: several where it contradicts itself.
fn listed(text: &str, name: &str) -> Vec<String> {
    let named = || text.lines().filter_map(parse);
    // The file beside the list comes before those of the same name in other folders.
    let own = |path: &str| path.strip_prefix("./").unwrap_or(path) == name;
    let sums = |is: &dyn Fn(&str) -> bool| {
        let sums = named().filter(|(_, path)| is(path)).map(|(sum, _)| sum);
        sums.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let beside = sums(&own);
    if beside.is_empty() { sums(&|path: &str| path.rsplit('/').next() == Some(name)) } else { beside }
}

/// Whether a line of a list is for the file `name`, though no sum was found in it: one that is cut off, or written
/// otherwise, must not pass for none.
fn mentions(text: &str, name: &str) -> bool {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let ends = [' ', '*', '/', '\t'];
    let mut rests = lines.flat_map(|line| {
        let bare = line.strip_suffix(name);
        let tagged = line.split_once(')').and_then(|(before, _)| before.strip_suffix(name));
        [bare, tagged]
    });
    rests.any(|rest| rest.is_some_and(|rest| rest.ends_with(ends) || rest.ends_with('(')))
}

/// The sum in a text that has only one: its image may have had another name, or none.
fn only(text: &str) -> Option<String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let line = lines.next().filter(|_| lines.next().is_none())?;
    parse(line).map(|(sum, _)| sum).or_else(|| is_sum(line.trim()))
}

/// A sum and the path it is for: `SUM  PATH`, `SUM *PATH` for a file read as binary, or
/// `SHA256 (PATH) = SUM` as with `--tag`.
fn parse(line: &str) -> Option<(String, Cow<'_, str>)> {
    let line = line.trim_end_matches('\r');
    // sha256sum marks a name in which it has written some characters otherwise.
    let (line, escaped) = line.strip_prefix('\\').map_or((line, false), |line| (line, true));
    let (sum, path) = match line.strip_prefix("SHA256 (").and_then(|rest| rest.rsplit_once(") = ")) {
        Some((path, sum)) => (sum, path),
        None => line.split_once(' ').and_then(|(sum, path)| Some((sum, path.strip_prefix([' ', '*'])?)))?,
    };
    let path = if escaped { Cow::from(path.replace("\\\\", "\\")) } else { path.into() };
    Some((is_sum(sum)?, path))
}

fn is_sum(text: &str) -> Option<String> {
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

/// A reader that hashes what passes through it.
pub struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R> Hashing<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// The SHA-256 of all that has passed, in lower-case hexadecimal digits.
    pub fn finish(self) -> String {
        self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
