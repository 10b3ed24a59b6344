//! `devices`: the cards that are plugged in.

use anyhow::Result;
use serde::Serialize;

use super::protected::{Named, protected};
use crate::base::{Bytes, Context, Table};
use crate::card::disk::{self, Confirmation, Disk, Kind, Mounted, Request, Roots, VirtualCards};
use crate::cli::Devices;
use crate::ui;

/// A disk and what `flash` would say to it.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    disk: Disk,
    accepted: bool,
    refusals: Vec<String>,
    /// The first reason, without its remedy: enough to choose by. `flash` says all of them.
    #[serde(skip)]
    verdict: String,
}

pub fn run(cx: &Context, args: &Devices) -> Result<()> {
    let roots = Roots::default();
    let request = request(cx, args);
    let disks = disk::list(&roots)?.into_iter().filter(|disk| args.all || is_card(disk, &request));
    let mut listed = disks.map(|disk| judge(disk, &request)).collect::<Vec<_>>();
    listed.sort_by_key(|listed| !listed.accepted);
    if cx.json {
        return ui::json(&listed);
    }
    if listed.is_empty() {
        cx.note("there is no card; plug one in, or see all disks with `cargo xtask devices --all`");
        return Ok(());
    }
    ui::table(&table(&listed))
}

fn request(cx: &Context, args: &Devices) -> Request {
    let virtual_cards = if args.allow_virtual { VirtualCards::Allowed } else { VirtualCards::Refused };
    let (mounted, protected) = (Mounted::Refused, protected(cx, Named::default()));
    Request { image_size: None, virtual_cards, mounted, protected, confirmation: Confirmation::Typed }
}

/// Whether a disk is listed by default: it could be a card, even if it is refused now.
fn is_card(disk: &Disk, request: &Request) -> bool {
    let virtual_card = disk.kind.is_virtual() && request.virtual_cards == VirtualCards::Allowed;
    virtual_card || matches!(disk.kind, Kind::SdCard | Kind::Usb)
}

fn judge(disk: Disk, request: &Request) -> Listed {
    let refusals = disk::refusals(&disk, request);
    let verdict = refusals.first().map_or("yes".to_owned(), |refusal| format!("no: {}", refusal.reason));
    let refusals = refusals.iter().map(ToString::to_string).collect::<Vec<_>>();
    Listed { accepted: refusals.is_empty(), disk, refusals, verdict }
}

fn table(listed: &[Listed]) -> Table {
    let mut table = Table::new(&["DEVICE", "SIZE", "MODEL", "KIND", "HOLDS", "FLASH"]);
    for Listed { disk, verdict, .. } in listed {
        let (path, size) = (disk.path.display().to_string(), Bytes(disk.size).to_string());
        table.row([path, size, disk.title(), disk.kind.to_string(), disk.content(), verdict.clone()]);
    }
    table
}
