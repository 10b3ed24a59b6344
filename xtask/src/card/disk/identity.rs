//! Checking that a disk is still the one that was confirmed.

use anyhow::Result;

use super::{Disk, DiskKind};
use crate::bail;

impl Disk {
    /// Fails where `now` is not this card in this slot.
    pub fn same_as(&self, now: &Self) -> Result<()> {
        if let Some(changed) = self.difference(now) {
            let path = self.path.display();
            bail!(Refused, "{path} is not the card that was confirmed: {changed}"; hint: "run the command again");
        }
        Ok(())
    }

    /// The first difference to `now`: `its size was 7 and is 5`.
    fn difference(&self, now: &Self) -> Option<String> {
        let pairs = [
            ("device number", text(self.number), text(now.number)),
            ("size", text(Some(self.size)), text(Some(now.size))),
            ("sector size", text(Some(self.sector_size)), text(Some(now.sector_size))),
            ("serial number", text(self.serial.as_ref()), text(now.serial.as_ref())),
            ("media count", text(self.diskseq), text(now.diskseq)),
            ("file", file_text(&self.kind), file_text(&now.kind)),
        ];
        let (what, was, is) = pairs.into_iter().find(|(_, was, is)| was != is)?;
        Some(format!("its {what} was {was} and is {is}"))
    }
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

/// The file of a virtual card.
fn file_text(kind: &DiskKind) -> String {
    match kind {
        DiskKind::File { device, inode } => format!("inode {inode} on {device}"),
        DiskKind::Loop { backing: Some(file) } => file.display().to_string(),
        _ => "none".to_owned(),
    }
}
