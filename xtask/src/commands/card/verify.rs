//! `card verify`: verifies by reading that a card holds an image.

use std::path::{Path, PathBuf};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::bail;
use crate::base::failure::{ExitKind, kind, with_hint};
use crate::base::{Bytes, Context, JsonResult, Tone};
use crate::card::disk::Disk;
use crate::card::flash::Comparison;
use crate::card::image::{self, Depth, Image, Limits, Source};
use crate::card::worker::{self, Against, CompareJob};
use crate::cli::{CardVerify, ImageArg};
use crate::commands::next_step;
use crate::receipt::{self, Flashed, PayloadReceipt};
use crate::ui;

/// The hint for a difference, which need not be a fault.
const BOOTED_HINT: &str = "a card differs once it has booted, or once another checkout has flashed it";
/// The hint for a card that cannot have booted.
const UNFINISHED_HINT: &str = "the first MiB is blank: no flash of the card has finished; flash it again";

pub fn run(cx: &Context, args: &CardVerify) -> Result<()> {
    let (image_arg, device) = args.image_and_device()?;
    let disk = super::load_readable(cx, device)?;
    let receipt = receipt::of_card(cx, &disk);
    let recorded_payload = receipt.as_ref().and_then(|receipt| receipt.payload.clone());
    let limits = Limits::new(args.memory_limit, None);
    let against = match image_arg {
        Some(image_arg) => Against::Image(open_image(cx, args, &image_arg, limits)?.into()),
        None => image_of_receipt(cx, &disk, receipt.clone(), limits)?,
    };
    check_size(&disk, &against)?;
    note_other_flash(cx, &disk, receipt.as_ref(), &against);
    for used in &disk.uses {
        cx.warn(format!("{used}: writes during the comparison count as differences"));
    }
    let payload = recorded_payload.as_ref().map(|payload| payload.added.clone());
    let comparison = worker::run(cx, &CompareJob { disk: disk.clone(), against, payload })?;
    show(cx, &disk, &comparison, recorded_payload.as_ref())?;
    receipt.map_or(Ok(()), |receipt| next_step::after_verified_card(cx, &disk, &receipt))
}

/// The image of the command line, built if it is that of a host.
fn open_image(cx: &Context, args: &CardVerify, image_arg: &ImageArg, limits: Limits) -> Result<Image> {
    let source = match image_arg {
        ImageArg::Built(source) => {
            let built = image::build(cx, source, args.build.file.as_deref(), &args.build.nix.nix_args)?;
            Source::open(&built.file)?
        }
        ImageArg::File(file) => Source::open(file)?.with_sums(args.sums.given_sums()),
    };
    examine(cx, source.with_limits(limits))
}

fn examine(cx: &Context, source: Source) -> Result<Image> {
    image::examine(source, Depth::Structure, cx.reporter.as_ref())
}

/// The image of the card's receipt: its file if the file is unchanged, else its hash.
///
/// # Errors
/// `Refused` for a card without a receipt; `Interrupted` where the user stops the examination of the file.
fn image_of_receipt(cx: &Context, disk: &Disk, receipt: Option<Flashed>, limits: Limits) -> Result<Against> {
    let path = disk.path.display();
    let Some(receipt) = receipt else {
        bail!(Refused, "there is no receipt of this project for {path}";
                      hint: "name the host or --image FILE to compare with");
    };
    cx.note(format!("{path} was {receipt}"));
    let Flashed { image: then, payload, .. } = receipt;
    let problem = match Source::open(&then.path).and_then(|source| examine(cx, source.with_limits(limits))) {
        Ok(now) if now.size == then.size && now.hash.is_none_or(|hash| hash == then.hash) => {
            return Ok(Against::Image(Image { hash: Some(then.hash), ..now }.into()));
        }
        Ok(_) => "has changed".to_owned(),
        Err(error) => problem_of(&then.path, error)?,
    };
    cx.note(format!("{} {problem}: comparing with the hash of the receipt", then.path.display()));
    let hash = payload.map_or(then.hash, |payload| payload.added.hash);
    Ok(Against::Hash { size: then.size, hash })
}

/// What is wrong with the `file` of a receipt, whose examination failed with `error`.
///
/// # Errors
/// `error` itself where the user stopped the examination.
fn problem_of(file: &Path, error: anyhow::Error) -> Result<String> {
    if kind(&error) == ExitKind::Interrupted {
        return Err(error);
    }
    let is_missing = file.try_exists().is_ok_and(|exists| !exists);
    Ok(if is_missing { "is missing".to_owned() } else { format!("cannot be used ({})", with_hint(&error)) })
}

/// Notes which flash wrote the card, where its image is in another file than the one to compare with.
fn note_other_flash(cx: &Context, disk: &Disk, receipt: Option<&Flashed>, against: &Against) {
    let Against::Image(image) = against else { return };
    if let Some(receipt) = receipt.filter(|receipt| receipt.image.path != image.source.path) {
        cx.note(format!("{} was {receipt}", disk.path.display()));
    }
}

/// Refuses the comparison with an image that is larger than the card.
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

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct CardVerifyResult {
    device: PathBuf,
    comparison: Comparison,
}

impl JsonResult for CardVerifyResult {}

fn show(cx: &Context, disk: &Disk, comparison: &Comparison, payload: Option<&PayloadReceipt>) -> Result<()> {
    let path = disk.path.display();
    if cx.json {
        let device = disk.path.clone();
        ui::print_json(&CardVerifyResult { device, comparison: comparison.clone() })?;
    }
    match comparison.fault() {
        Some((kind, fault)) => {
            let text = format!("{path} {fault}");
            Err(match kind {
                ExitKind::Verification if comparison.blank => kind.error_with_hint(text, UNFINISHED_HINT),
                ExitKind::Verification => kind.error_with_hint(text, BOOTED_HINT),
                _ => kind.error(text),
            })
        }
        None if cx.json => Ok(()),
        None => {
            let size = Bytes(comparison.size);
            let hash = comparison.hash;
            let bytes = comparison.size;
            let sum = comparison.card_sha256.as_deref().unwrap_or("unknown");
            // The hash of a card with a payload is that of the image with the payload.
            let held = payload.filter(|payload| comparison.with_payload || hash == payload.added.hash);
            let and_payload = held.map(|payload| format!(" and {}", payload.words)).unwrap_or_default();
            let text = format!(
                "{path} holds the image{and_payload}: {size} compared, SHA-256 of its first {bytes} bytes {sum}"
            );
            ui::print_verdict(&text, Tone::Good)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;

    #[test]
    fn only_a_file_that_does_not_exist_is_called_missing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.zst");
        let limit = || failure!(Refused, "needs 2 GiB of memory"; hint: "pass a larger --memory-limit");
        assert_eq!(problem_of(&file, limit()).unwrap(), "is missing");
        std::fs::write(&file, "image").unwrap();
        let expected = "cannot be used (needs 2 GiB of memory; pass a larger --memory-limit)";
        assert_eq!(problem_of(&file, limit()).unwrap(), expected);
        for file in [&file, &dir.path().join("none")] {
            let error = problem_of(file, failure!(Interrupted, "stopped")).unwrap_err();
            assert_eq!(kind(&error), ExitKind::Interrupted);
        }
    }
}
