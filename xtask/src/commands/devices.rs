//! `devices`: lists the inserted cards.

use anyhow::Result;
use serde::Serialize;

use super::protected::{NamedPaths, protected};
use crate::base::failure::Reason;
use crate::base::{Bytes, Context, Table};
use crate::card::disk::{self, Confirmation, Disk, DiskKind, Mounted, Refusal, Request, Roots, VirtualCards};
use crate::cli::Devices;
use crate::ui;

/// A disk, and whether `flash` accepts it. Also the JSON.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    disk: Disk,
    accepted: bool,
    refusals: Vec<Reason>,
    /// `yes`, or the first refusal without its remedy: enough to choose by. `flash` prints all refusals.
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
        cx.note("no card found; insert one, or list all disks with `cargo xtask devices --all`");
        return Ok(());
    }
    ui::table(&table(&listed))
}

fn request(cx: &Context, args: &Devices) -> Request {
    let virtual_cards = if args.allow_virtual { VirtualCards::Allowed } else { VirtualCards::Refused };
    Request {
        image_size: None,
        virtual_cards,
        mounted: Mounted::Refused,
        protected: protected(cx, NamedPaths::default()),
        confirmation: Confirmation::Typed,
    }
}

/// Whether a disk is listed by default: its kind is that of a card, even if `flash` refuses it now.
fn is_card(disk: &Disk, request: &Request) -> bool {
    let virtual_card = disk.kind.is_virtual() && request.virtual_cards == VirtualCards::Allowed;
    virtual_card || matches!(disk.kind, DiskKind::SdCard | DiskKind::Usb)
}

fn judge(disk: Disk, request: &Request) -> Listed {
    let refusals = disk::refusals(&disk, request);
    let verdict = refusals.first().map_or("yes".to_owned(), |refusal| format!("no: {}", refusal.reason));
    let refusals = refusals.iter().map(Refusal::to_reason).collect::<Vec<_>>();
    Listed { accepted: refusals.is_empty(), disk, refusals, verdict }
}

fn table(listed: &[Listed]) -> Table {
    let mut table = Table::new(&["DEVICE", "SIZE", "MODEL", "KIND", "HOLDS", "FLASH"]);
    for Listed { disk, verdict, .. } in listed {
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
