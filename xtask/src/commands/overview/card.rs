//! The cards of the overview.

use anyhow::Result;
use serde_json::{Value, json};

use super::host::day;
use crate::base::{Bytes, Cell, Context, HostName, Tone};
use crate::card::disk::{Confirmation, Mounted, Request, VirtualCards};
use crate::commands::listed_disk::{self, Listed, ListedDisk};
use crate::commands::protected::{NamedPaths, protected_paths};
use crate::receipt::{Flashed, Receipt};

/// A card that is in, and its last flash by the receipts.
pub struct CardRow {
    pub listed: ListedDisk,
    last_flash: Option<Flashed>,
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
            Receipt::Flash(flash) if flash.card.is(&listed.disk) => Some((**flash).clone()),
            _ => None,
        });
        CardRow { listed, last_flash }
    };
    Ok(listed_disk::list(&request, Listed::Cards)?.into_iter().map(row).collect())
}

impl CardRow {
    /// The host for which the card was last flashed.
    pub fn host(&self) -> Option<HostName> {
        self.last_flash.as_ref()?.card_host().map(HostName::from)
    }

    pub fn json(&self) -> Value {
        let mut row = json!(self.listed);
        row["last_flash"] = self
            .last_flash
            .as_ref()
            .map_or(Value::Null, |flash| json!({ "time": flash.when, "host": flash.card_host() }));
        row
    }

    pub fn cells(&self) -> [Cell; 5] {
        let ListedDisk { disk, verdict, accepted, .. } = &self.listed;
        let flash = self.last_flash.as_ref().map(|flash| {
            let host = flash.card_host().map_or_else(|| "an image".to_owned(), str::to_owned);
            format!("{host}, {}", day(&flash.when))
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
