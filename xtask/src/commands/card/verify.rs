//! `card verify`: verifies by reading that a card holds an image.

use anyhow::Result;

use crate::bail;
use crate::base::failure::ExitKind;
use crate::base::{Bytes, Context};
use crate::card::disk::Disk;
use crate::card::flash::Comparison;
use crate::card::image::{self, Depth, Image, Limits, Source};
use crate::card::worker::{self, Against, CompareJob};
use crate::cli::{CardVerify, ImageArg};
use crate::receipt::{self, Flashed, PayloadReceipt};
use crate::ui;

/// The hint for a difference, which need not be a fault.
const BOOTED: &str = "a card that has booted differs: its system writes to it";
/// The hint for a card that cannot have booted.
const UNFINISHED: &str = "the first MiB is blank: no flash of the card has finished; flash it again";

pub fn run(cx: &Context, args: &CardVerify) -> Result<()> {
    let (image_arg, device) = args.image_and_device()?;
    let disk = super::load_readable(cx, device)?;
    let receipt = receipt::of_card(cx, &disk);
    let recorded = receipt.as_ref().and_then(|receipt| receipt.payload.clone());
    let limits = Limits::new(args.memory_limit, None);
    let against = match image_arg {
        Some(ImageArg::Built(source)) => {
            let built = image::build(cx, &source, args.build.file.as_deref(), &args.build.nix.nix_args)?;
            Against::Image(examine(cx, Source::open(&built.file)?.within(limits))?.into())
        }
        Some(ImageArg::File(file)) => {
            let source = Source::open(file)?.within(limits).with_sums(args.sums.given());
            Against::Image(examine(cx, source)?.into())
        }
        None => image_of_receipt(cx, &disk, receipt.clone(), limits)?,
    };
    check_size(&disk, &against)?;
    note_other_flash(cx, &disk, receipt.as_ref(), &against);
    for used in &disk.uses {
        cx.warn(format!("{used}: writes during the comparison count as differences"));
    }
    let payload = recorded.as_ref().map(|recorded| recorded.added.clone());
    let comparison = worker::run(cx, &CompareJob { disk: disk.clone(), against, payload })?;
    show(cx, &disk, &comparison, recorded.as_ref())
}

fn examine(cx: &Context, source: Source) -> Result<Image> {
    image::examine(source, Depth::Structure, cx.reporter.as_ref())
}

/// The image of the card's receipt: its file if that is unchanged, else its hash.
fn image_of_receipt(cx: &Context, disk: &Disk, receipt: Option<Flashed>, limits: Limits) -> Result<Against> {
    let path = disk.path.display();
    let Some(receipt) = receipt else {
        bail!(Refused, "there is no receipt of this project for {path}";
                      hint: "name the host or --image FILE to compare with");
    };
    cx.note(format!("{path} was {receipt}"));
    let Flashed { image: then, payload, .. } = receipt;
    match Source::open(&then.path).and_then(|source| examine(cx, source.within(limits))) {
        Ok(now) if now.size == then.size && now.hash.is_none_or(|hash| hash == then.hash) => {
            Ok(Against::Image(Image { hash: Some(then.hash), ..now }.into()))
        }
        _ => {
            let file = then.path.display();
            cx.note(format!("{file} is missing or has changed: comparing with the hash of the receipt"));
            let hash = payload.map_or(then.hash, |payload| payload.added.hash);
            Ok(Against::Hash { size: then.size, hash })
        }
    }
}

/// Says what the card was flashed with, where that is another image than the one to compare with.
fn note_other_flash(cx: &Context, disk: &Disk, receipt: Option<&Flashed>, against: &Against) {
    let Against::Image(image) = against else { return };
    if let Some(receipt) = receipt.filter(|receipt| receipt.image.path != image.source.path) {
        cx.note(format!("{} was {receipt}", disk.path.display()));
    }
}

fn check_size(disk: &Disk, against: &Against) -> Result<()> {
    let size = match against {
        Against::Image(image) => image.size,
        Against::Hash { size, .. } => *size,
    };
    if size <= disk.size {
        return Ok(());
    }
    bail!(
        Verification,
        "{} does not hold the image: the image has {size} bytes, the card {}",
        disk.path.display(),
        disk.size
    )
}

fn show(cx: &Context, disk: &Disk, comparison: &Comparison, recorded: Option<&PayloadReceipt>) -> Result<()> {
    let path = disk.path.display();
    if cx.json {
        let result = serde_json::json!({ "device": disk.path, "comparison": comparison });
        ui::json(&result)?;
    }
    match comparison.fault() {
        Some((kind, fault)) => {
            let text = format!("{path} {fault}");
            Err(match kind {
                ExitKind::Verification if comparison.blank => kind.error_with_hint(text, UNFINISHED),
                ExitKind::Verification => kind.error_with_hint(text, BOOTED),
                _ => kind.error(text),
            })
        }
        None if cx.json => Ok(()),
        None => {
            let size = Bytes(comparison.size);
            let hash = comparison.hash;
            let bytes = comparison.size;
            let sum = comparison.card_sha256.as_deref().unwrap_or("unknown");
            // A hash of the whole card is the hash of the image with its payload.
            let held = recorded.filter(|payload| comparison.with_payload || hash == payload.added.hash);
            let and_payload = held.map(|payload| format!(" and {}", payload.words)).unwrap_or_default();
            ui::result(&format!(
                "{path} holds the image{and_payload}: {size} compared, SHA-256 of its first {bytes} bytes {sum}"
            ))
        }
    }
}
