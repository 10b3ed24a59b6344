//! Whether a disk is still the one that was confirmed.

use anyhow::Result;

use super::{Disk, Kind};
use crate::base::failure::ExitKind as Failure;

impl Disk {
    /// Fails where `now` is another card than this one, or another slot.
    pub fn same_as(&self, now: &Self) -> Result<()> {
        let Some(changed) = self.difference(now) else { return Ok(()) };
        let path = self.path.display();
        Err(Failure::Refused
            .error(format!("{path} is not the card that was confirmed: {changed}; start again")))
    }

    fn difference(&self, now: &Self) -> Option<String> {
        let pairs = [
            ("device number", text(self.number), text(now.number)),
            ("size", text(Some(self.size)), text(Some(now.size))),
            ("sector size", text(Some(self.sector_size)), text(Some(now.sector_size))),
            ("serial number", text(self.serial.as_ref()), text(now.serial.as_ref())),
            ("count of media", text(self.diskseq), text(now.diskseq)),
            ("file", file(&self.kind), file(&now.kind)),
        ];
        let (what, was, is) = pairs.into_iter().find(|(_, was, is)| was != is)?;
        Some(format!("its {what} was {was} and is {is}"))
    }
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

fn file(kind: &Kind) -> String {
    match kind {
        Kind::File { device, inode } => format!("inode {inode} on {device}"),
        Kind::Loop { backing: Some(file) } => file.display().to_string(),
        _ => "none".to_owned(),
    }
}
