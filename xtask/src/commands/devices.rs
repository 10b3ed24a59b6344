//! `devices`: lists the inserted cards.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::listed_disk::{self, Listed, ListedDisk};
use super::next_step;
use super::protected::{NamedPaths, protected_paths};
use crate::base::{Bytes, Cell, Context, JsonResult, Table, Tone};
use crate::card::disk::{Confirmation, Mounted, Request, VirtualCards};
use crate::cli::Devices;
use crate::ui;

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct DevicesResult {
    devices: Vec<ListedDisk>,
}

impl JsonResult for DevicesResult {}

pub fn run(cx: &Context, args: &Devices) -> Result<()> {
    let request = flash_request(cx, args);
    let listed = listed_disk::list(&request, if args.all { Listed::All } else { Listed::Cards })?;
    if let [only] = &listed.iter().filter(|listed| listed.accepted).collect::<Vec<_>>()[..] {
        next_step::flash_to(&only.disk.path);
    }
    if cx.json {
        return ui::print_json(&DevicesResult { devices: listed });
    }
    if listed.is_empty() {
        cx.note("no card found; insert one, or list all disks with `cargo xtask devices --all`");
        return Ok(());
    }
    ui::print_table(&table(&listed))
}

/// The request of a `flash` that names no image, by which the disks are judged.
fn flash_request(cx: &Context, args: &Devices) -> Request {
    let virtual_cards = if args.allow_virtual { VirtualCards::Allowed } else { VirtualCards::Refused };
    Request {
        image_size: None,
        virtual_cards,
        mounted: Mounted::Refused,
        protected: protected_paths(cx, NamedPaths::default()),
        confirmation: Confirmation::Typed,
    }
}

fn table(listed: &[ListedDisk]) -> Table {
    let mut table = Table::new(&["DEVICE", "SIZE", "MODEL", "KIND", "HOLDS", "FLASH"])
        .with_optional(&["KIND", "MODEL", "HOLDS"])
        .with_folded("FLASH");
    for ListedDisk { disk, verdict, accepted, .. } in listed {
        let tone = if *accepted { Tone::Good } else { Tone::Bad };
        table.row([
            disk.path.display().to_string().into(),
            Bytes(disk.size).to_string().into(),
            disk.title().into(),
            disk.kind.to_string().into(),
            disk.content().into(),
            Cell::new(verdict, tone),
        ]);
    }
    table
}
