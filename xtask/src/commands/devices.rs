//! `devices`: lists the inserted cards.

use anyhow::Result;
use serde::Serialize;

use super::protected::{NamedPaths, protected_paths};
use crate::base::failure::Reason;
use crate::base::{Bytes, Context, Table};
use crate::card::disk::{self, Confirmation, Disk, DiskKind, Mounted, Refusal, Request, Roots, VirtualCards};
use crate::cli::Devices;
use crate::ui;

/// A disk, and whether `flash` accepts it. Also the JSON.
#[derive(Serialize)]
struct ListedDisk {
    #[serde(flatten)]
    disk: Disk,
    accepted: bool,
    refusals: Vec<Reason>,
    /// `yes`, or the first refusal without its remedy: enough to choose a card. `flash` prints all refusals.
    #[serde(skip)]
    verdict: String,
}

pub fn run(cx: &Context, args: &Devices) -> Result<()> {
    let request = flash_request(cx, args);
    let disks = disk::list(&Roots::default())?.into_iter();
    let disks = disks.filter(|disk| args.all || is_listed_by_default(disk, &request));
    let mut listed = disks.map(|disk| judge(disk, &request)).collect::<Vec<_>>();
    listed.sort_by_key(|listed| !listed.accepted);
    if cx.json {
        return ui::print_json(&serde_json::json!({ "devices": listed }));
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

/// Whether `disk` is listed without `--all`: its kind is that of a card, even if `flash` refuses the disk now.
fn is_listed_by_default(disk: &Disk, request: &Request) -> bool {
    let is_allowed_virtual_card = disk.kind.is_virtual() && request.virtual_cards == VirtualCards::Allowed;
    is_allowed_virtual_card || matches!(disk.kind, DiskKind::SdCard | DiskKind::Usb)
}

fn judge(disk: Disk, request: &Request) -> ListedDisk {
    let refusals = disk::refusals(&disk, request);
    let verdict = refusals.first().map_or("yes".to_owned(), |refusal| format!("no: {}", refusal.reason));
    let refusals = refusals.iter().map(Refusal::to_reason).collect::<Vec<_>>();
    ListedDisk { accepted: refusals.is_empty(), disk, refusals, verdict }
}

fn table(listed: &[ListedDisk]) -> Table {
    let mut table = Table::new(&["DEVICE", "SIZE", "MODEL", "KIND", "HOLDS", "FLASH"]);
    for ListedDisk { disk, verdict, .. } in listed {
        table.row([
            disk.path.display().to_string(),
            Bytes(disk.size).to_string(),
            disk.title(),
            disk.kind.to_string(),
            disk.content(),
            verdict.clone(),
        ]);
    }
    table
}
