//! The folder of receipts. File names begin with a sequence number, because the clock may have been wrong.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Receipt;
use crate::bail;
use crate::base::failure;
use crate::base::{Bytes, state};

/// The version of the format of the receipts that are written, and the latest version that is read. Receipts without a
/// version have version 1; in version 2 fields have other names.
const VERSION: u32 = 2;
/// The most bytes of a receipt.
const MAX_RECEIPT_BYTES: u64 = 16 << 20;
/// The most bytes of all receipts that are read in one run.
const MAX_TOTAL_BYTES: u64 = 256 << 20;
/// The most unreadable receipts that a warning names.
const MAX_NAMED: usize = 3;
/// The fewest digits of a sequence number: a year, with which older names begin, has fewer.
const MIN_DIGITS: usize = 6;
/// The most digits of a sequence number.
const MAX_DIGITS: usize = 15;
/// The highest sequence number, which has [`MAX_DIGITS`] digits.
const MAX_SEQUENCE: u64 = 999_999_999_999_999;

/// A receipt as its file has it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Receipt")]
pub struct Stored<'a> {
    version: u32,
    #[serde(flatten)]
    receipt: &'a Receipt,
}

/// The version of a stored receipt.
#[derive(Deserialize)]
struct Version {
    #[serde(default = "first_version")]
    version: u32,
}

fn first_version() -> u32 {
    1
}

/// The file of a receipt. The order is that of the operations.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ReceiptFile {
    /// The sequence number; 0 for older receipts, whose names begin with the time.
    sequence: u64,
    /// The file name. It has the time, which orders receipts that share a number.
    name: String,
}

/// Writes `receipt` atomically to a new file in `folder`, which only this user can read, and returns the path of the
/// file. Several processes may write at once; receipts with different names may then share a sequence number.
pub fn write(folder: &Path, receipt: &Receipt) -> Result<PathBuf> {
    let doing = || format!("writing a receipt to {}", folder.display());
    state::create_private_folder(folder).with_context(doing)?;
    let text = serialize(receipt).with_context(doing)?;
    let name = receipt.name_in_file();
    let last = list_files(folder).with_context(doing)?.into_iter().max();
    // The file exists where another process has just written a receipt of the same name: the next number is tried.
    for sequence in last.map_or(1, |file| file.sequence + 1)..=MAX_SEQUENCE {
        let path = folder.join(format!("{sequence:0MIN_DIGITS$}-{name}.json"));
        if state::write_new(&path, text.as_bytes()).with_context(doing)? {
            return Ok(path);
        }
    }
    bail!(
        Other, "no sequence number is left for a receipt in {}", folder.display();
        hint: "move the receipts to another folder"
    )
}

/// Replaces the receipt at `path`, which [`write()`] has created.
pub fn replace(path: &Path, receipt: &Receipt) -> Result<()> {
    let doing = || format!("writing the receipt {}", path.display());
    let text = serialize(receipt).with_context(doing)?;
    state::write(path, text.as_bytes()).with_context(doing)
}

/// The text of the file of `receipt`.
fn serialize(receipt: &Receipt) -> Result<String> {
    let text = serde_json::to_string_pretty(&Stored { version: VERSION, receipt })? + "\n";
    if text.len() as u64 > MAX_RECEIPT_BYTES {
        bail!(Other, "the receipt is larger than {}", Bytes(MAX_RECEIPT_BYTES));
    }
    Ok(text)
}

/// The receipts of a folder, the newest first, each read on demand.
pub struct Receipts {
    folder: PathBuf,
    /// The files that are not read yet, the oldest first.
    files: Vec<ReceiptFile>,
    /// How many bytes may still be read.
    bytes_left: u64,
    /// The reasons of the receipts that could not be read.
    unreadable: Vec<String>,
}

/// The receipts in `folder`, the newest first; none if `folder` is missing.
pub fn newest_first(folder: &Path) -> Result<Receipts> {
    let doing = || format!("reading the receipts in {}", folder.display());
    state::check_folder(folder).with_context(doing)?;
    let mut files = list_files(folder).with_context(doing)?;
    files.sort_unstable();
    Ok(Receipts { folder: folder.to_owned(), files, bytes_left: MAX_TOTAL_BYTES, unreadable: Vec::new() })
}

impl Receipts {
    /// The warning of the receipts that could not be read so far; `None` if all could be read.
    pub fn unreadable_warning(&self) -> Option<String> {
        let count = self.unreadable.len();
        if count == 0 {
            return None;
        }
        let mut reasons = self.unreadable.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>();
        if count > MAX_NAMED {
            reasons.push(format!("and {} more", count - MAX_NAMED));
        }
        let noun = if count == 1 { "receipt" } else { "receipts" };
        let folder = self.folder.display();
        Some(format!("{count} {noun} in {folder} could not be read: {}", reasons.join("; ")))
    }

    /// The name of the next readable file, and its receipt.
    pub fn next_named(&mut self) -> Option<(String, Receipt)> {
        while let Some(ReceiptFile { name, .. }) = self.files.pop() {
            match self.read(&name) {
                Ok(receipt) => return Some((name, receipt)),
                Err(error) => self.unreadable.push(failure::with_hint(&error)),
            }
        }
        None
    }

    /// The receipt in the file `name`.
    fn read(&mut self, name: &str) -> Result<Receipt> {
        let path = self.folder.join(name);
        let Some(bytes) = state::read_unchecked(&path, MAX_RECEIPT_BYTES.min(self.bytes_left))? else {
            bail!(Other, "{} has disappeared", path.display());
        };
        self.bytes_left -= bytes.len() as u64;
        parse(&bytes).map_err(|reason| state::unusable_error(&path, &reason))
    }
}

impl Iterator for Receipts {
    type Item = Receipt;

    fn next(&mut self) -> Option<Receipt> {
        self.next_named().map(|(_, receipt)| receipt)
    }
}

/// The receipt in `bytes`, the content of a file, or the reason why the file is unusable.
pub(super) fn parse(bytes: &[u8]) -> Result<Receipt, String> {
    match serde_json::from_slice::<Version>(bytes) {
        Ok(Version { version }) if version > VERSION => {
            Err(format!("has version {version}, written by a newer version of this tool"))
        }
        _ => serde_json::from_slice(bytes).map_err(|error| format!("is not a receipt ({error})")),
    }
}

/// The files of the receipts in `folder`, unsorted; none if `folder` is missing.
fn list_files(folder: &Path) -> Result<Vec<ReceiptFile>> {
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_json = Path::new(&name).extension().is_some_and(|ending| ending == "json");
        if is_json && !name.starts_with('.') {
            files.push(ReceiptFile { sequence: sequence_number(&name), name });
        }
    }
    Ok(files)
}

/// The sequence number of the receipt in the file `name`; `None` for an older receipt.
pub fn number(name: &str) -> Option<u64> {
    Some(sequence_number(name)).filter(|number| *number > 0)
}

/// The sequence number at the beginning of the file name `name`; 0 for older receipts, whose names begin with the year.
fn sequence_number(name: &str) -> u64 {
    let Some((digits, _)) = name.split_once('-') else { return 0 };
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let has_length = (MIN_DIGITS..=MAX_DIGITS).contains(&digits.len());
    if is_number && has_length { digits.parse().unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::tests::deploy;

    #[test]
    fn the_highest_number_leaves_none_for_another_receipt() {
        let dir = tempfile::tempdir().unwrap();
        let highest = dir.path().join(format!("{MAX_SEQUENCE}-x.json"));
        std::fs::write(highest, "{}").unwrap();
        let error = write(dir.path(), &deploy("stinky", "2026-11-25T12:00:00Z")).unwrap_err();
        assert!(error.to_string().starts_with("no sequence number is left for a receipt in "), "{error}");
    }
}
