//! The folder of receipts. File names begin with a sequence number, because the clock may have been wrong.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Receipt;
use crate::bail;
use crate::base::failure;
use crate::base::{Bytes, state};

/// The version of the format: the one that is written, and the latest that is read. Receipts without a version have
/// version 1.
const VERSION: u32 = 1;
/// The largest receipt, in bytes.
const MAX_RECEIPT: u64 = 16 << 20;
/// How many bytes of all receipts are read in one run.
const MAX_TOTAL: u64 = 256 << 20;
/// The fewest digits of a sequence number: more than a year has.
const MIN_DIGITS: usize = 6;
/// The most digits of a sequence number.
const MAX_DIGITS: usize = 15;

#[derive(Serialize)]
struct Stored<'a> {
    version: u32,
    #[serde(flatten)]
    receipt: &'a Receipt,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default = "first")]
    version: u32,
}

fn first() -> u32 {
    1
}

/// Writes `receipt` atomically to a new file in `folder`, which only this user can read, and returns its path.
/// Several processes may write at once.
pub fn write(folder: &Path, receipt: &Receipt) -> Result<PathBuf> {
    let doing = || format!("writing a receipt to {}", folder.display());
    state::create_private_folder(folder).with_context(doing)?;
    let text = text(receipt).with_context(doing)?;
    let name = receipt.name();
    let last = names(folder).with_context(doing)?.into_iter().map(|(sequence, _)| sequence).max();
    for sequence in last.unwrap_or(0) + 1.. {
        let path = folder.join(format!("{sequence:0MIN_DIGITS$}-{name}.json"));
        if state::write_new(&path, text.as_bytes()).with_context(doing)? {
            return Ok(path);
        }
    }
    bail!(Other, "too many receipts in {}", folder.display(); hint: "move older receipts to another folder")
}

/// Replaces the receipt at `path`, which [`write()`] has created.
pub fn replace(path: &Path, receipt: &Receipt) -> Result<()> {
    let doing = || format!("writing the receipt {}", path.display());
    state::write(path, text(receipt).with_context(doing)?.as_bytes()).with_context(doing)
}

fn text(receipt: &Receipt) -> Result<String> {
    let text = serde_json::to_string_pretty(&Stored { version: VERSION, receipt })? + "\n";
    if text.len() as u64 <= MAX_RECEIPT {
        return Ok(text);
    }
    Err(crate::failure!(Other, "the receipt is larger than {}", Bytes(MAX_RECEIPT)))
}

/// The receipts of a folder, the newest first, each read on demand.
pub struct Receipts {
    folder: PathBuf,
    /// Sequence numbers and file names, the oldest first.
    names: Vec<(u64, String)>,
    /// How many bytes may still be read.
    left: u64,
    unreadable: Vec<String>,
}

/// The receipts in `folder`, which may be missing.
pub fn newest_first(folder: &Path) -> Result<Receipts> {
    let doing = || format!("reading the receipts in {}", folder.display());
    state::check_folder(folder).with_context(doing)?;
    let mut names = names(folder).with_context(doing)?;
    names.sort_unstable();
    Ok(Receipts { folder: folder.to_owned(), names, left: MAX_TOTAL, unreadable: Vec::new() })
}

impl Receipts {
    /// The warning about the receipts that could not be read so far; `None` if all could.
    pub fn unreadable_warning(&self) -> Option<String> {
        const NAMED: usize = 3;
        let count = self.unreadable.len();
        let folder = self.folder.display();
        let noun = if count == 1 { "receipt" } else { "receipts" };
        let mut named = self.unreadable.iter().take(NAMED).cloned().collect::<Vec<_>>();
        named.extend((count > NAMED).then(|| format!("and {} more", count - NAMED)));
        (count > 0).then(|| format!("{count} {noun} in {folder} could not be read: {}", named.join("; ")))
    }

    /// The next receipt, and the name of its file.
    pub fn next_named(&mut self) -> Option<(String, Receipt)> {
        while let Some((_, name)) = self.names.pop() {
            match self.read(&name) {
                Ok(receipt) => return Some((name, receipt)),
                Err(error) => self.unreadable.push(failure::with_hint(&error)),
            }
        }
        None
    }

    fn read(&mut self, name: &str) -> Result<Receipt> {
        let path = self.folder.join(name);
        let missing = || crate::failure!(Other, "{} has disappeared", path.display());
        let bytes = state::read_unchecked(&path, MAX_RECEIPT.min(self.left))?.ok_or_else(missing)?;
        self.left -= bytes.len() as u64;
        parse(&bytes).map_err(|why| state::unusable_error(&path, &why))
    }
}

impl Iterator for Receipts {
    type Item = Receipt;

    fn next(&mut self) -> Option<Receipt> {
        self.next_named().map(|(_, receipt)| receipt)
    }
}

/// The receipt in `bytes`, or why there is none.
pub(super) fn parse(bytes: &[u8]) -> Result<Receipt, String> {
    match serde_json::from_slice::<Version>(bytes) {
        Ok(Version { version }) if version > VERSION => {
            Err(format!("has version {version}, written by a newer version of this tool"))
        }
        _ => serde_json::from_slice(bytes)
            .map_err(|error| format!("is not a receipt, or has another version ({error})")),
    }
}

/// The file names of the receipts in `folder` with their sequence numbers, unsorted.
fn names(folder: &Path) -> Result<Vec<(u64, String)>> {
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names = names.collect::<std::io::Result<Vec<_>>>()?;
    let is_json = |name: &str| Path::new(name).extension().is_some_and(|ending| ending == "json");
    let receipts = names.into_iter().filter(|name| is_json(name) && !name.starts_with('.'));
    Ok(receipts.map(|name| (sequence(&name), name)).collect())
}

/// The sequence number at the beginning of `name`; 0 for older receipts, whose names begin with the year.
fn sequence(name: &str) -> u64 {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    let fits = (MIN_DIGITS..=MAX_DIGITS).contains(&digits) && name[digits..].starts_with('-');
    if fits { name[..digits].parse().unwrap_or(0) } else { 0 }
}
