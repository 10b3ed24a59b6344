//! `card check DEVICE`: whether a card holds what it says, without changing what is on it.

use anyhow::Result;

use crate::base::{Bytes, Context};
use crate::card::disk::{Disk, Mounted, Request, Roots, refusals, refuse};
use crate::card::worker::{self, Access, Capacity};
use crate::cli::CardCheck;
use crate::commands::protected::{Named, protected};
use crate::ui;

const MEANING: &str = "Stamps are written all over this card, and what was there is put back.";

pub fn run(cx: &Context, args: &CardCheck) -> Result<()> {
    let disk = Disk::load(&Roots::default(), &args.device)?;
    refuse(&refusals(&disk, &request(cx, args)?))?;
    worker::check_access(cx, &disk.path, Access::Write)?;
    cx.note(format!("card    {}", disk.summary()));
    args.confirm.confirm(&disk, MEANING)?;
    let places = worker::run(cx, &Capacity { disk: disk.clone() })?;
    show(cx, &disk, places)
}

/// The same as for a flash: for a moment the card is overwritten.
fn request(cx: &Context, args: &CardCheck) -> Result<Request> {
    let protected = protected(cx, Named::default());
    let (virtual_cards, confirmation) = (args.confirm.virtual_cards(), args.confirm.confirmation()?);
    Ok(Request { image_size: None, virtual_cards, mounted: Mounted::Refused, protected, confirmation })
}

fn show(cx: &Context, disk: &Disk, places: usize) -> Result<()> {
    if cx.json {
        let result = serde_json::json!({ "device": disk.path, "size": disk.size, "places": places });
        return ui::json(&result);
    }
    let (path, size) = (disk.path.display(), Bytes(disk.size));
    ui::result(&format!("{path} holds what it says, {size}, as far as stamps at {places} places tell"))
}
