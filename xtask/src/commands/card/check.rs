//! `card check DEVICE`: checks the capacity of a card and keeps its data.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Bytes, Context, JsonResult, Tone};
use crate::card::disk::{Disk, Mounted, Request, Roots, refusals, refuse};
use crate::card::worker::{self, Access, CapacityJob};
use crate::cli::CardCheck;
use crate::commands::next_step;
use crate::commands::protected::{NamedPaths, protected_paths};
use crate::ui;

/// The sentence before the confirmation.
const CONSEQUENCE: &str = "Capacity probes overwrite blocks all over this card and restore them afterwards.";

pub fn run(cx: &Context, args: &CardCheck) -> Result<()> {
    let disk = Disk::load(&Roots::default(), &args.device)?;
    refuse(&refusals(&disk, &request(cx, args)))?;
    worker::check_access(cx, &disk.path, Access::Write)?;
    cx.note(format!("card    {}", disk.summary()));
    if let Some(warning) = disk.size_warning() {
        cx.warn(warning);
    }
    args.confirm.confirm(&disk, CONSEQUENCE)?;
    let probes = worker::run(cx, &CapacityJob { disk: disk.clone() })?;
    next_step::flash_to(&disk.path);
    show(cx, &disk, probes)
}

/// The request of a flash without an image: the probes overwrite blocks of the card for a moment.
fn request(cx: &Context, args: &CardCheck) -> Request {
    Request {
        image_size: None,
        virtual_cards: args.confirm.virtual_cards(),
        mounted: Mounted::Refused,
        protected: protected_paths(cx, NamedPaths::default()),
        confirmation: args.confirm.confirmation(),
    }
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct CardCheckResult {
    device: PathBuf,
    /// The size of the card, which its probes have confirmed.
    bytes: u64,
    /// How many blocks were read back.
    probes: usize,
}

impl JsonResult for CardCheckResult {}

fn show(cx: &Context, disk: &Disk, probes: usize) -> Result<()> {
    if cx.json {
        return ui::print_json(&CardCheckResult { device: disk.path.clone(), bytes: disk.size, probes });
    }
    let text =
        format!("{}: capacity ok: {}, {probes} probes read back", disk.path.display(), Bytes(disk.size));
    ui::print_verdict(&text, Tone::Good)
}
