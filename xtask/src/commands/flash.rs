//! `flash HOST [DEVICE]`: writes an image to a card, and proves that it is on it.

use std::path::Path;

use anyhow::Result;

use super::payload::PayloadSetup;
use super::protected::{Named, protected};
use crate::base::failure::{self, ExitKind};
use crate::base::{Bytes, Context, Event, interrupt, project};
use crate::card::disk::{self, Disk, Mounted, Request, Roots, refusals, refuse};
use crate::card::flash::{Plan, Report};
use crate::card::image::{self, CheckCache, Image, Limits, Source};
use crate::card::worker::{self, Access};
use crate::cli::{Flash, PayloadArgs};
use crate::receipt::{self, Flashed};
use crate::ui::{self, Prompt};

pub fn run(cx: &Context, args: &Flash) -> Result<()> {
    let (host, device) = places(args)?;
    // The card is looked at first: a wrong one is told before minutes are spent on a build.
    let named = device.map(|device| look(cx, args, device)).transpose()?;
    if named.is_none() {
        refuse(args.confirm.confirmation()?.lacking().as_slice())?;
    }
    let mut payload_setup = PayloadSetup::begin(cx, &args.packed, host)?;
    payload_setup.keep_out_of_stores(cx, &cx.flake)?;
    let file = match host {
        Some(host) => image::build(cx, host, &[])?,
        None => args.image.clone().unwrap_or_default(),
    };
    let image = check(cx, args, &file, named.as_ref().map(|disk| disk.size))?;
    let carried = payload_setup.pack(cx, &cx.flake, &image)?;
    let request = request(cx, args, Some(&file), Some(image.size))?;
    let disk = match named {
        Some(disk) => disk,
        // Only now, so that nobody has to sit and wait for the build with a card in the hand.
        None => disk::await_card(&Roots::default(), &request, cx.reporter.as_ref())?,
    };
    refuse(&refusals(&disk, &request))?;
    worker::check_access(cx, &disk.path, Access::Write)?;
    let plan = agreed(cx, args, &request, Plan::new(image, disk, args.mode, carried))?;
    let earlier = receipt::rates_of(&plan.disk);
    // A card that is written and a key that is not settled must not come apart.
    let hold = interrupt::guard()?;
    let source = host.map(|host| (host, cx.flake.as_str()));
    let begun = receipt::begin_flash(cx, source, &plan);
    let report = begun.watch(cx, |cx| write(cx, &plan))?.with_rates_of(earlier);
    let settled = payload_setup.settle(cx);
    begun.keep(cx, Flashed::new(source, &plan, &report));
    drop(hold);
    let told = show(cx, &plan, &report);
    if !args.no_eject {
        plan.disk.eject(&cx.launcher).into_iter().for_each(|text| cx.note(text));
    }
    settled.and(told)
}

/// What is in `file`, which is whole: nothing is written out of one that is not. `card` is the size of the card, where
/// that is known.
fn check(cx: &Context, args: &Flash, file: &Path, card: Option<u64>) -> Result<Image> {
    let (known, source) = (CheckCache::new(&project::state_dir()), Source::open(file)?);
    let source = source.within(Limits::new(args.memory_limit, card));
    let check = if args.check_image { image::examine_and_remember } else { image::examine_once };
    check(source, &known, cx.reporter.as_ref())
}

/// What is not on the card as it was found in the image may be wrong in either: the image is checked anew the
/// next time.
fn write(cx: &Context, plan: &Plan) -> Result<Report> {
    worker::run(cx, plan).inspect_err(|error| {
        if failure::kind(error) == ExitKind::Verification {
            CheckCache::new(&project::state_dir()).forget(&plan.image.source.path);
        }
    })
}

/// The host, unless an image was given, and the device, unless it is waited for.
fn places(args: &Flash) -> Result<(Option<&str>, Option<&Path>)> {
    match (args.first.as_deref(), args.second.as_deref(), &args.image) {
        (device, None, Some(_)) => Ok((None, device.map(Path::new))),
        (Some(host), None, None) if !host.contains('/') => Ok((Some(host), None)),
        (Some(host), Some(device), None) => Ok((Some(host), Some(Path::new(device)))),
        (_, Some(_), Some(_)) => {
            Err(ExitKind::Usage.error("name either a host or --image FILE, and the device"))
        }
        _ => Err(ExitKind::Usage.error(
            "name the host, or --image FILE; then the device, or none for the card that is inserted next",
        )),
    }
}

/// The card at `device`, if it can be written.
fn look(cx: &Context, args: &Flash, device: &Path) -> Result<Disk> {
    let disk = Disk::load(&Roots::default(), device)?;
    refuse(&refusals(&disk, &request(cx, args, args.image.as_deref(), None)?))?;
    worker::check_access(cx, &disk.path, Access::Write)?;
    Ok(disk)
}

fn request(cx: &Context, args: &Flash, image: Option<&Path>, image_size: Option<u64>) -> Result<Request> {
    let PayloadArgs { files, identity_dir, .. } = &args.packed;
    let named = Named { image, files: files.as_deref(), identities: identity_dir.as_deref() };
    let protected = protected(cx, named);
    let (virtual_cards, confirmation) = (args.confirm.virtual_cards(), args.confirm.confirmation()?);
    let may_ask = !args.confirm.yes && ui::on_terminal();
    let mounted = if args.unmount || may_ask { Mounted::Unmounted } else { Mounted::Refused };
    Ok(Request { image_size, virtual_cards, mounted, protected, confirmation })
}

/// `plan`, shown and agreed to. What has been mounted meanwhile, as desktops do with a card that was
/// just inserted, is part of it.
fn agreed(cx: &Context, args: &Flash, request: &Request, plan: Plan) -> Result<Plan> {
    cx.plan(&plan);
    for warning in disk::clashes(&Roots::default(), &plan.disk) {
        cx.warn(warning);
    }
    args.confirm.confirm(&plan.disk, "Everything on this card will be lost.")?;
    let disk = Disk::load(&Roots::default(), &plan.disk.path)?;
    plan.disk.same_as(&disk)?;
    refuse(&refusals(&disk, request))?;
    let plan = Plan::new(plan.image, disk, plan.mode, plan.carried);
    confirm_unmounting(args, &plan)?;
    Ok(plan)
}

fn confirm_unmounting(args: &Flash, plan: &Plan) -> Result<()> {
    let mounts = plan.disk.plain_mounts();
    let mounts = mounts.map(|(device, at)| format!("/dev/{device} is mounted at {}", at.display()));
    let mounts = mounts.collect::<Vec<_>>();
    let them = if mounts.len() > 1 { "them" } else { "it" };
    let question = format!("{}. Unmount {them}? [y/N]", mounts.join(", "));
    let prompt = Prompt { question: &question, unanswered: "stopped; nothing was written" };
    if mounts.is_empty() || args.unmount || prompt.confirm()? {
        return Ok(());
    }
    Err(ExitKind::Refused.error("not confirmed; nothing was unmounted, and nothing was written"))
}

fn show(cx: &Context, plan: &Plan, report: &Report) -> Result<()> {
    let path = plan.disk.path.display();
    if cx.json {
        let identity = plan.carried.as_ref().and_then(|carried| carried.payload.identity.as_ref());
        let (device, image) = (&plan.disk.path, &plan.image.source.path);
        let result =
            serde_json::json!({ "device": device, "image": image, "identity": identity, "report": report });
        return ui::json(&result);
    }
    cx.reporter.report(&Event::Found { name: "total".into(), text: report.to_string() });
    let own = plan.carried.as_ref().map(|carried| format!(" and {}", carried.payload.summary()));
    let (own, size, hash) = (own.unwrap_or_default(), Bytes(report.size), report.hash);
    ui::result(&format!("{path} holds the image{own}: {size} read back, hash {hash}"))
}
