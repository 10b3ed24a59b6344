//! Checksum files beside an image, in the formats of `sha256sum`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::bail;
use crate::base::bounded::{self, Links};

/// The name of the checksum list of all files in a folder.
const LIST: &str = "SHA256SUMS";
/// The size of the largest list that is read, in bytes: 40,000 files.
const MAX_LIST: u64 = 4 << 20;
/// The number of hexadecimal digits of a sum in messages: enough to compare by eye.
const SHOWN: usize = 12;

/// The checksum of an image, with the file that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    pub path: PathBuf,
    /// The SHA-256 of the image file as it is stored, in lower-case hexadecimal digits.
    pub sum: String,
}

impl Sidecar {
    /// Reads the checksum of `image` from the checksum files beside it, and beside the `link` that leads to it.
    ///
    /// # Errors
    /// A checksum file that cannot be read or has no sum for the image, and contradictory sums.
    pub fn find(image: &Path, link: Option<&Path>) -> Result<Option<Self>> {
        let places = link.into_iter().chain([image]);
        let found = places.map(Self::beside).collect::<Result<Vec<_>>>()?;
        Self::only_one(image, found.into_iter().flatten())
    }

    /// Reads all checksums of `image` from `IMAGE.sha256` and from a `SHA256SUMS` that lists the image.
    fn beside(image: &Path) -> Result<Vec<Self>> {
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        let own = image.with_file_name(format!("{name}.sha256"));
        let list = image.with_file_name(LIST);
        let of = |path: &Path, sums: Vec<String>| {
            sums.into_iter().map(|sum| Self { path: path.to_owned(), sum }).collect::<Vec<_>>()
        };
        Ok([of(&own, own_sums(&own, &name)?), of(&list, list_sums(&list, &name)?)].concat())
    }

    /// The only sum in `found`. Of two different sums neither is trusted.
    fn only_one(image: &Path, mut found: impl Iterator<Item = Self>) -> Result<Option<Self>> {
        let Some(first) = found.next() else { return Ok(None) };
        let Some(other) = found.find(|other| other.sum != first.sum) else { return Ok(Some(first)) };
        let [one, two] = [&first.sum, &other.sum].map(|sum| &sum[..SHOWN]);
        bail!(
            Refused,
            "there are two different SHA-256 for {}: one in {} begins with {one}, one in {} with {two}",
            image.display(),
            first.path.display(),
            other.path.display();
            hint: "remove the wrong one"
        )
    }

    /// Compares the sum with `found`, the sum of the stored `image`.
    ///
    /// # Errors
    /// [`ExitKind::Refused`](crate::base::failure::ExitKind::Refused) for a different sum.
    pub fn compare(&self, image: &Path, found: &str) -> Result<()> {
        if self.sum == found {
            return Ok(());
        }
        let path = self.path.display();
        let [found, expected] = [found, &self.sum].map(|sum| &sum[..SHOWN]);
        bail!(
            Refused,
            "the image {} does not match {path}: its SHA-256 begins with {found}, not {expected}",
            image.display();
            hint: "download both again, or remove {path} if it is for another image"
        )
    }
}

impl fmt::Display for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the SHA-256 is that of {}", self.path.display())
    }
}

/// The sums in the file `path` for the image `name` alone.
fn own_sums(path: &Path, name: &str) -> Result<Vec<String>> {
    let Some(text) = read(path)? else { return Ok(Vec::new()) };
    let listed = listed(&text, name);
    let sums = if listed.is_empty() { only(&text).into_iter().collect() } else { listed };
    if sums.is_empty() {
        let path = path.display();
        bail!(Refused, "{path} has no SHA-256 of {name}"; hint: "download {path} again, or remove it");
    }
    Ok(sums)
}

/// The sums of the image `name` in the list `path`.
fn list_sums(path: &Path, name: &str) -> Result<Vec<String>> {
    let Some(text) = read(path)? else { return Ok(Vec::new()) };
    let sums = listed(&text, name);
    if sums.is_empty() && mentions(&text, name) {
        let path = path.display();
        bail!(Refused, "{path} lists {name} without a SHA-256"; hint: "download {path} again, or remove it");
    }
    Ok(sums)
}

/// The text of the file at `path`; `None` where there is none.
fn read(path: &Path) -> Result<Option<String>> {
    match bounded::read(path, MAX_LIST, Links::Follow) {
        // Some programs begin a text with a byte order mark.
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::FileTooLarge) => {
            let path = path.display();
            bail!(Refused, "{path} has the name of a checksum file, but is {error}"; hint: "remove {path}")
        }
        Err(error) => Err(error).with_context(|| format!("reading the checksum {}", path.display())),
    }
}

/// The sums of the file `name` in a list: several where the list contradicts itself.
fn listed(text: &str, name: &str) -> Vec<String> {
    let named = || text.lines().filter_map(parse);
    // A file beside the list has precedence over files of the same name in other folders.
    let own = |path: &str| path.strip_prefix("./").unwrap_or(path) == name;
    let sums = |is: &dyn Fn(&str) -> bool| {
        let sums = named().filter(|(_, path)| is(path)).map(|(sum, _)| sum);
        sums.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let beside = sums(&own);
    if beside.is_empty() { sums(&|path: &str| path.rsplit('/').next() == Some(name)) } else { beside }
}

/// Whether a line of a list is for the file `name`, with or without a sum: a truncated line, or a line in another format,
/// must not count as no line.
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

/// The sum in a text of one line, whose image may have had another name, or none.
fn only(text: &str) -> Option<String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let line = lines.next().filter(|_| lines.next().is_none())?;
    parse(line).map(|(sum, _)| sum).or_else(|| is_sum(line.trim()))
}

/// Parses a line into the sum and the path: `SUM  PATH`, `SUM *PATH` for a file read as binary, or `SHA256 (PATH) = SUM`
/// as with `--tag`.
fn parse(line: &str) -> Option<(String, Cow<'_, str>)> {
    let line = line.trim_end_matches('\r');
    // sha256sum marks a name with escaped characters by a backslash.
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

/// A reader that hashes the bytes that are read.
pub struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
}

impl<R> HashingReader<R> {
    /// A reader of `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// The SHA-256 of all bytes that were read, in lower-case hexadecimal digits.
    pub fn finish(self) -> String {
        self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
