//! Checking that a disk is still the one that was confirmed.

use anyhow::Result;

use super::{Disk, DiskKind};
use crate::bail;

impl Disk {
    /// Fails where `now` is not this card in this slot: names the first property that differs.
    pub fn require_same(&self, now: &Self) -> Result<()> {
        if let Some(changed) = self.difference(now) {
            let path = self.path.display();
            bail!(
                Refused(NotExpected), "{path} is not the card that was confirmed: {changed}";
                hint: "run the command again"
            );
        }
        Ok(())
    }

    /// Whether `other` is the same device, or the same file.
    pub fn is_same_device(&self, other: &Self) -> bool {
        let same_number = self.number.is_some() && self.number == other.number;
        same_number || self.path == other.path
    }

    /// The first difference between this disk and `now`: `its size was 7 and is 5`; `None` where there is none.
    fn difference(&self, now: &Self) -> Option<String> {
        let pairs = [
            ("device number", or_unknown(self.number), or_unknown(now.number)),
            ("size", self.size.to_string(), now.size.to_string()),
            ("sector size", self.sector_size.to_string(), now.sector_size.to_string()),
            ("serial number", or_unknown(self.serial.as_ref()), or_unknown(now.serial.as_ref())),
            ("count of inserted media", or_unknown(self.diskseq), or_unknown(now.diskseq)),
            ("file", file_title(&self.kind), file_title(&now.kind)),
        ];
        let (what, was, is) = pairs.into_iter().find(|(_, was, is)| was != is)?;
        Some(format!("its {what} was {was} and is {is}"))
    }
}

/// The text of `value`, or `unknown`.
fn or_unknown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

/// The file of a virtual card, for messages; `none` for other disks, and for a loop device without a file.
fn file_title(kind: &DiskKind) -> String {
    match kind {
        DiskKind::File { device, inode } => format!("inode {inode} on {device}"),
        DiskKind::Loop { backing: Some(file) } => file.display().to_string(),
        _ => "none".to_owned(),
    }
}
