//! The cards of the overview.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::host::day;
use crate::base::{Bytes, Cell, Context, HostName, Timestamp, Tone};
use crate::card::disk::{Confirmation, Mounted, Request, VirtualCards};
use crate::commands::listed_disk::{self, Listed, ListedDisk};
use crate::commands::protected::{NamedPaths, protected_paths};
use crate::receipt::Receipt;

/// A card that is in, and its last flash by the receipts.
pub struct CardRow {
    pub listed: ListedDisk,
    pub last_flash: Option<CardFlash>,
}

/// The last flash of a card.
#[derive(Clone, Serialize, JsonSchema)]
pub struct CardFlash {
    time: Timestamp,
    /// The host of the card; `None` for an image without a host.
    host: Option<HostName>,
}

/// A card, for programs.
#[derive(Serialize, JsonSchema)]
pub struct CardFacts {
    #[serde(flatten)]
    listed: ListedDisk,
    last_flash: Option<CardFlash>,
}

/// The cards that are in, as a `flash` judges them.
pub fn list(cx: &Context, receipts: &[Receipt]) -> Result<Vec<CardRow>> {
    let request = Request {
        image_size: None,
        virtual_cards: VirtualCards::Refused,
        mounted: Mounted::Refused,
        protected: protected_paths(cx, NamedPaths::default()),
        confirmation: Confirmation::Typed,
    };
    let row = |listed: ListedDisk| {
        let last_flash = receipts.iter().find_map(|receipt| match receipt {
            Receipt::Flash(flash) if flash.card.is(&listed.disk) => {
                Some(CardFlash { time: flash.when.clone(), host: flash.card_host().map(HostName::from) })
            }
            _ => None,
        });
        CardRow { listed, last_flash }
    };
    Ok(listed_disk::list(&request, Listed::Cards)?.into_iter().map(row).collect())
}

impl CardRow {
    /// The host for which the card was last flashed.
    pub fn host(&self) -> Option<&HostName> {
        self.last_flash.as_ref()?.host.as_ref()
    }

    pub fn facts(&self) -> CardFacts {
        CardFacts { listed: self.listed.clone(), last_flash: self.last_flash.clone() }
    }

    pub fn cells(&self) -> [Cell; 5] {
        let ListedDisk { disk, verdict, accepted, .. } = &self.listed;
        let flash = self.last_flash.as_ref().map(|flash| {
            let host = flash.host.as_ref().map_or_else(|| "an image".to_owned(), ToString::to_string);
            format!("{host}, {}", day(&flash.time))
        });
        [
            disk.path.display().to_string().into(),
            Bytes(disk.size).to_string().into(),
            disk.content().into(),
            flash.map_or_else(|| Cell::new("-", Tone::Minor), Cell::from),
            Cell::new(verdict, if *accepted { Tone::Good } else { Tone::Attention }),
        ]
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::card::disk::{Disk, DiskKind};

    /// The card `/dev/sdb`, which was flashed for `host`, if any.
    pub fn card(host: Option<&str>, accepted: bool) -> CardRow {
        let disk = Disk {
            name: "sdb".into(),
            path: "/dev/sdb".into(),
            number: None,
            size: 1 << 30,
            sector_size: 512,
            read_only: false,
            kind: DiskKind::Usb,
            vendor: None,
            model: None,
            serial: None,
            diskseq: None,
            partitions: Vec::new(),
            uses: Vec::new(),
        };
        let listed = ListedDisk { disk, accepted, refusals: Vec::new(), verdict: String::new() };
        let flash = |host: &str| CardFlash { time: Timestamp::at(0), host: Some(host.into()) };
        CardRow { listed, last_flash: host.map(flash) }
    }
}
