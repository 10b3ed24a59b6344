//! `card inspect DEVICE`: shows what is on a card, which flash wrote it, and what keeps it from booting.

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

use crate::bail;
use crate::base::{Bytes, Context, Format, JsonResult};
use crate::boot::{Board, BoardProof, Outcome, boots_only_qemu, summarize};
use crate::card::disk::{Disk, DiskKind};
use crate::card::image::{self, Limits, Source};
use crate::card::inspect::{Inspection, Verdict};
use crate::card::worker::{self, InspectJob};
use crate::cli::CardInspect;
use crate::commands::{next_step, required_boards};
use crate::receipt::{self, Flashed};
use crate::ui;

pub fn run(cx: &Context, args: &CardInspect) -> Result<()> {
    let disk = super::load_readable(cx, &args.device)?;
    let (inspection, image) = match compressed(&disk, args)? {
        Some(source) => inspect_image(cx, source).map(|(inspection, image)| (inspection, Some(image)))?,
        None => (worker::run(cx, &InspectJob { disk: disk.clone() })?, None),
    };
    let origin = Origin::find(receipt::of_card(cx, &disk), &inspection);
    let facts = CardFacts { disk, inspection, origin, image };
    show(cx, &facts, args.board)?;
    args.board.into_iter().for_each(|board| required_boards::note_unseen(cx, board));
    offer_next_step(cx, &facts)?;
    let path = facts.disk.path.display();
    match (&facts.inspection.verdict, args.board) {
        (Verdict::No { why, hint: None }, None) => bail!(Verification, "{path} does not boot: {why}"),
        (Verdict::No { why, hint: Some(hint) }, None) => {
            bail!(Verification, "{path} does not boot: {why}"; hint: "{hint}")
        }
        (_, None) => Ok(()),
        (_, Some(board)) => facts.inspection.require_boots_on(board).with_context(|| path.to_string()),
    }
}

/// The compressed image in the file `disk`; `None` for a card, and for a file with the content of a card.
fn compressed(disk: &Disk, args: &CardInspect) -> Result<Option<Source>> {
    if !matches!(disk.kind, DiskKind::File { .. }) || !Source::is_compressed(&disk.path)? {
        return Ok(None);
    }
    let limits = Limits::new(args.memory_limit, None);
    Source::open(&disk.path).map(|source| Some(source.with_limits(limits)))
}

/// Inspects a compressed image, which is read once from its start to its end.
///
/// # Errors
/// `Refused` for what `flash` refuses as an image, and where too much of the image would have to be kept.
fn inspect_image(cx: &Context, source: Source) -> Result<(Inspection, CompressedImage)> {
    let (image, inspection) = image::inspect_compressed(source, cx.reporter.as_ref())?;
    let format = image.source.format;
    let Some(inspection) = inspection else {
        let path = image.source.path.display();
        let command = format.decompress_command().unwrap_or_default();
        bail!(
            Refused, "the inspection of {path} takes more memory than it may, as the image is compressed";
            hint: "decompress it first, `{command} IMAGE >DISK.img`, and inspect that file"
        );
    };
    Ok((inspection, CompressedImage { format, bytes: image.size }))
}

/// Offers the next step for a card that boots; after an error its hint counts.
fn offer_next_step(cx: &Context, facts: &CardFacts) -> Result<()> {
    let CardFacts { disk, inspection, origin, image } = facts;
    match origin {
        _ if image.is_some() => next_step::after_image_file(&disk.path, &inspection.boards),
        _ if boots_only_qemu(&inspection.boards) => next_step::boot(&disk.path),
        Some(Origin { receipt, overwritten: false }) => next_step::after_good_card(cx, receipt)?,
        _ => {}
    }
    Ok(())
}

/// The line of a card without a receipt.
const UNKNOWN_ORIGIN: &str = "no receipt of this project for this card";

/// The facts about a card. Also the JSON result.
#[derive(Serialize, JsonSchema)]
pub struct CardFacts {
    disk: Disk,
    #[serde(flatten)]
    inspection: Inspection,
    /// `None` where no receipt of this project is for this card.
    origin: Option<Origin>,
    /// The compressed image that was inspected; `None` for a card, and for a file with the content of a card.
    image: Option<CompressedImage>,
}

/// A compressed image.
#[derive(Serialize, JsonSchema)]
struct CompressedImage {
    format: Format,
    /// The size of the content.
    bytes: u64,
}

impl JsonResult for CardFacts {}

/// The flash that wrote a card, by the receipts.
#[derive(Serialize, JsonSchema)]
struct Origin {
    receipt: Box<Flashed>,
    /// Whether the card holds something else now than the partitions of that image.
    overwritten: bool,
}

impl Origin {
    /// The origin by `last`, the receipt of the last flash of this card.
    fn find(last: Option<Flashed>, inspection: &Inspection) -> Option<Self> {
        last.map(|receipt| Self {
            overwritten: !inspection.has_partitions_of(&receipt.image.layout),
            receipt: receipt.into(),
        })
    }
}

fn show(cx: &Context, facts: &CardFacts, board: Option<Board>) -> Result<()> {
    if cx.json {
        return ui::print_json(facts);
    }
    let CardFacts { disk, inspection, origin, image } = facts;
    ui::print_result(&format!("card    {}", disk.summary()))?;
    if let Some(CompressedImage { format, bytes }) = image {
        ui::print_result(&format!("image   {}, compressed with {format}", Bytes(*bytes)))?;
    }
    for (index, partition) in inspection.partitions.iter().enumerate() {
        ui::print_result(&format!("{:8}{partition}", if index == 0 { "holds" } else { "" }))?;
    }
    match &inspection.verdict {
        Verdict::Yes { contents } => {
            let boot = &contents.boot;
            ui::print_result(&format!("boots   {}, then {}", boot.kernel, boot.init))?;
            for uboot in &contents.uboots {
                ui::print_result(&format!("        by {uboot}"))?;
            }
            ui::print_result(&format!("store   {} paths", boot.store_paths))?;
            ui::print_result(&format!("trial   {}", contents.trial))?;
        }
        Verdict::WithoutUBoot { .. } => {
            ui::print_result("boots   without U-Boot: the firmware starts the kernel")?;
        }
        Verdict::No { why, .. } => ui::print_result(&format!("boots   not: {why}"))?,
    }
    show_boards(inspection, board)?;
    let origin = origin.as_ref().map_or_else(|| UNKNOWN_ORIGIN.to_owned(), Origin::to_string);
    ui::print_result(&format!("origin  {origin}"))
}

/// Shows which boards boot from the card, or the steps of one. Where no board boots, the verdict has said why.
fn show_boards(inspection: &Inspection, board: Option<Board>) -> Result<()> {
    let Some(board) = board else {
        if !inspection.boards.iter().any(|proof| proof.outcome != Outcome::DoesNotBoot) {
            return Ok(());
        }
        let lines = summarize(&inspection.boards);
        let mut labels = std::iter::once("boards").chain(std::iter::repeat(""));
        return lines
            .iter()
            .zip(&mut labels)
            .try_for_each(|(line, label)| ui::print_result(&format!("{label:8}{line}")));
    };
    let steps = inspection.proof_of(board).map(BoardProof::steps).unwrap_or_default();
    steps.iter().try_for_each(|(label, text)| ui::print_result(&format!("{label:8}{text}")))
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { receipt, overwritten } = self;
        write!(f, "{receipt}{}", if *overwritten { "; the card holds something else now" } else { "" })
    }
}
