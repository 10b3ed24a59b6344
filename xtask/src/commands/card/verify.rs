//! `card verify`: whether a card still holds an image, found out by reading alone.

use std::path::Path;

use anyhow::Result;

use crate::base::failure::ExitKind;
use crate::base::{Bytes, Context};
use crate::card::disk::Disk;
use crate::card::flash::Comparison;
use crate::card::image::{self, Depth, Image, Limits, Source};
use crate::card::worker::{self, Against, Comparing};
use crate::cli::CardVerify;
use crate::receipt::{self, Flashed, PayloadReceipt};
use crate::ui;

/// What is to be said of a difference: it need not be a fault.
const BOOTED: &str = "; a card that has booted once differs, as its system writes to it";
/// What is to be said of it where the card cannot have booted.
const UNFINISHED: &str = "; its first MiB is blank, so no flash of it was finished: run it again";

pub fn run(cx: &Context, args: &CardVerify) -> Result<()> {
    let (what, device) = places(args)?;
    let disk = super::readable(cx, device)?;
    let receipt = receipt::of_card(cx, &disk);
    let own = receipt.as_ref().and_then(|receipt| receipt.own.clone());
    let limits = Limits::new(args.memory_limit, None);
    let against = match what {
        What::Host(host) => Against::Image(examine(cx, &image::build(cx, host, &[])?, limits)?),
        What::File(file) => Against::Image(examine(cx, file, limits)?),
        What::Receipt => of_receipt(cx, &disk, receipt, limits)?,
    };
    fits(&disk, &against)?;
    for used in &disk.uses {
        cx.warn(format!("{used}; what is written to it meanwhile counts as a difference"));
    }
    let added = own.as_ref().map(|own| own.added.clone());
    let comparison = worker::run(cx, &Comparing { disk: disk.clone(), against, added })?;
    show(cx, &disk, &comparison, own.as_ref())
}

/// What the card is compared with.
#[derive(Debug, PartialEq, Eq)]
enum What<'a> {
    Host(&'a str),
    File(&'a Path),
    Receipt,
}

fn places(args: &CardVerify) -> Result<(What<'_>, &Path)> {
    match (args.first.as_deref(), args.second.as_deref(), &args.image) {
        (Some(device), None, Some(file)) => Ok((What::File(file), Path::new(device))),
        (Some(host), Some(device), None) => Ok((What::Host(host), Path::new(device))),
        (Some(device), None, None) => Ok((What::Receipt, Path::new(device))),
        (_, Some(_), Some(_)) => {
            Err(ExitKind::Usage.error("name either a host or --image FILE, and the device"))
        }
        _ => Err(ExitKind::Usage.error("name the device, and before it the host if the card has no receipt")),
    }
}

fn examine(cx: &Context, file: &Path, limits: Limits) -> Result<Image> {
    image::examine(Source::open(file)?.within(limits), Depth::Structure, cx.reporter.as_ref())
}

/// The image that the card was flashed with: the file where it is still there, its hash otherwise.
fn of_receipt(cx: &Context, disk: &Disk, receipt: Option<Flashed>, limits: Limits) -> Result<Against> {
    let path = disk.path.display();
    let Some(receipt) = receipt else {
        let text = format!(
            "there is no receipt of this project for {path}; name the host, or --image FILE, to compare it with"
        );
        return Err(ExitKind::Refused.error(text));
    };
    cx.note(format!("{path} was {receipt}"));
    let Flashed { image: then, own, .. } = receipt;
    match examine(cx, &then.path, limits) {
        Ok(now) if now.size == then.size && now.hash.is_none_or(|hash| hash == then.hash) => {
            Ok(Against::Image(Image { hash: Some(then.hash), ..now }))
        }
        _ => {
            let file = then.path.display();
            cx.note(format!("{file} is gone or another one by now; what is compared is the hash"));
            let hash = own.map_or(then.hash, |own| own.added.hash);
            Ok(Against::Hash { size: then.size, hash })
        }
    }
}

fn fits(disk: &Disk, against: &Against) -> Result<()> {
    let (Against::Image(Image { size, .. }) | Against::Hash { size, .. }) = against;
    if *size <= disk.size {
        return Ok(());
    }
    let (path, holds) = (disk.path.display(), disk.size);
    Err(ExitKind::Verification
        .error(format!("{path} does not hold the image: that has {size} bytes, and the card {holds}")))
}

fn show(cx: &Context, disk: &Disk, comparison: &Comparison, own: Option<&PayloadReceipt>) -> Result<()> {
    let path = disk.path.display();
    if cx.json {
        let result = serde_json::json!({ "device": disk.path, "comparison": comparison });
        ui::json(&result)?;
    }
    match comparison.fault() {
        Some((kind, fault)) => {
            let hint = match kind {
                ExitKind::Verification if comparison.blank => UNFINISHED,
                ExitKind::Verification => BOOTED,
                _ => "",
            };
            Err(kind.error(format!("{path} {fault}{hint}")))
        }
        None if cx.json => Ok(()),
        None => {
            let (size, hash) = (Bytes(comparison.size), comparison.hash);
            // A hash of the whole was that of the image with what was added.
            let own = own.filter(|own| comparison.added || hash == own.added.hash);
            let own = own.map(|own| format!(" and {}", own.words)).unwrap_or_default();
            ui::result(&format!("{path} holds the image{own}: {size} compared, hash {hash}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_with_which_card() {
        let placed = |first: Option<&str>, second: Option<&str>, image: Option<&str>| {
            let [first, second] = [first, second].map(|word| word.map(str::to_owned));
            let args = CardVerify { first, second, image: image.map(Into::into), memory_limit: None };
            places(&args).map(|(what, device)| format!("{what:?} {}", device.display()))
        };
        assert_eq!(placed(Some("/d"), None, None).unwrap(), "Receipt /d");
        assert_eq!(placed(Some("h"), Some("/d"), None).unwrap(), "Host(\"h\") /d");
        assert_eq!(placed(Some("/d"), None, Some("f")).unwrap(), "File(\"f\") /d");
        for (first, second, image) in
            [(None, None, None), (None, None, Some("f")), (Some("h"), Some("/d"), Some("f"))]
        {
            let error = placed(first, second, image).unwrap_err();
            assert_eq!(crate::base::failure::kind(&error), ExitKind::Usage);
        }
    }
}
