//! `flash HOST [DEVICE]`: writes an image to a card and verifies it.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::payload::{PayloadSetup, login_keys};
use super::protected::{NamedPaths, protected_paths};
use crate::bail;
use crate::base::failure::{self, ExitKind};
use crate::base::{Bytes, Context, Event, interrupt};
use crate::boot;
use crate::card::disk::{self, Disk, Mounted, Request, Roots, refusals, refuse};
use crate::card::flash::{FILE_SHA256, Plan, Report};
use crate::card::image::{self, Built, CheckCache, Image, Limits, Source};
use crate::card::worker::{self, Access};
use crate::cli::{BuildArgs, Flash, ImageArg, PayloadArgs};
use crate::identity::LoginKeys;
use crate::nix::Revision;
use crate::receipt::{self, Flashed};
use crate::ui::{self, Prompt};

pub fn run(cx: &Context, args: &Flash) -> Result<()> {
    let (image_arg, device) = args.image_and_device()?;
    let host = image_arg.host();
    // The card is checked first: a refusal comes before a build of minutes.
    let named = device.map(|device| load_writable(cx, args, device)).transpose()?;
    if named.is_none() {
        refuse(args.confirm.confirmation()?.refusal().as_slice())?;
    }
    let mut payload_setup = PayloadSetup::begin(cx, &args.payload, host.as_ref())?;
    payload_setup.keep_out_of_stores(cx, &cx.flake)?;
    // Before the evaluation: a commit that is made meanwhile must not be taken for what was built.
    let revision = image_arg.file().map_or_else(|| Revision::of(&cx.launcher, &cx.flake), |_| None);
    let Built { file, layout } = build(cx, args, &image_arg, &mut payload_setup)?;
    let image = check_image(cx, args, &file, named.as_ref().map(|disk| disk.size))?;
    let payload = payload_setup.plan(cx, &cx.flake, &image, layout.as_ref())?;
    let request = request(cx, args, Some(&file), Some(image.size))?;
    let disk = match named {
        Some(disk) => disk,
        // The card is awaited only after the build.
        None => disk::await_card(&Roots::default(), &request, cx.reporter.as_ref())?,
    };
    refuse(&refusals(&disk, &request))?;
    worker::check_access(cx, &disk.path, Access::Write)?;
    let entries = payload.as_ref().map_or(&[][..], |payload| &payload.content.entries);
    let login_keys = login_keys(&image, layout.as_ref(), entries);
    let plan = Plan::new(image, disk, args.mode, payload).with_login_keys(Some(login_keys));
    let plan = show_and_confirm(cx, args, &request, plan)?;
    let earlier_rates = receipt::rates_of(cx, &plan.disk);
    // Ctrl-C must not come between the written card and its key in known_hosts.
    let signals = interrupt::guard()?;
    let source = host.as_ref().map(|host| (host, &cx.flake));
    let receipt = receipt::begin_flash(cx, source, &plan);
    let report = receipt.record(cx, |cx| write(cx, &plan))?.with_write_rate_of(earlier_rates);
    let known_hosts_updated = payload_setup.update_known_hosts(cx);
    receipt.complete(cx, Flashed::new(source, &plan, &report).with_revision(revision));
    drop(signals);
    let printed = show(cx, &plan, &report);
    if !args.no_eject {
        plan.disk.eject(&cx.launcher).into_iter().for_each(|text| cx.note(text));
    }
    known_hosts_updated.and(printed)?;
    require_board(args, &report)
}

/// Fails where the board of `--board` does not boot from the written card.
fn require_board(args: &Flash, report: &Report) -> Result<()> {
    let Some(board) = args.board else { return Ok(()) };
    match report.boards.iter().find(|proof| proof.board == board) {
        Some(proof) => proof.require_boots(ExitKind::Verification).context("the card is verified"),
        None => bail!(Verification, "the card is verified, but whether a {board} boots from it is unknown"),
    }
}

/// Builds the image, if it is not in a file already. Before that, the host must read the files of `payload_setup`.
fn build(
    cx: &Context,
    args: &Flash,
    image_arg: &ImageArg,
    payload_setup: &mut PayloadSetup,
) -> Result<Built> {
    let BuildArgs { file, nix, .. } = &args.build;
    let check = |layout: Option<&_>| payload_setup.find_own_entries(layout);
    match image_arg {
        ImageArg::Built(source) => image::build_checked(cx, source, file.as_deref(), &nix.nix_args, check),
        ImageArg::File(file) => Ok(Built { file: file.to_path_buf(), layout: None }),
    }
}

/// Checks the image in `file`: a damaged image is never written, nor one from which the board of `--board` does not
/// boot. Without `--check-image`, an earlier check of the same file counts. `card_size` is in bytes; `None` where no
/// card is named.
fn check_image(cx: &Context, args: &Flash, file: &Path, card_size: Option<u64>) -> Result<Image> {
    let cache = CheckCache::new(&cx.state);
    let limits = Limits::new(args.memory_limit, card_size);
    let source = Source::open(file)?.with_limits(limits).with_sums(args.sums.given_sums());
    let image = if args.check_image {
        image::examine_and_remember(source, &cache, cx.reporter.as_ref())?
    } else {
        image::examine_once(source, &cache, cx.reporter.as_ref())?
    };
    args.board.map(|board| image::check_board(&image, board)).transpose()?;
    Ok(image)
}

/// Writes the card. Where verification fails, the card or the image may be damaged: the next flash checks the image
/// again.
fn write(cx: &Context, plan: &Plan) -> Result<Report> {
    worker::run(cx, plan).inspect_err(|error| {
        if failure::kind(error) == ExitKind::Verification {
            CheckCache::new(&cx.state).forget(&plan.image.source.path);
        }
    })
}

/// The card at `device`.
///
/// # Errors
/// `Refused` where `flash` does not accept the card, and the error of a card that this user cannot write.
fn load_writable(cx: &Context, args: &Flash, device: &Path) -> Result<Disk> {
    let disk = Disk::load(&Roots::default(), device)?;
    refuse(&refusals(&disk, &request(cx, args, args.image.as_deref(), None)?))?;
    worker::check_access(cx, &disk.path, Access::Write)?;
    Ok(disk)
}

/// What the user asks of the card, for its refusals. `image` and `image_size` (in bytes) are `None` while unknown.
fn request(cx: &Context, args: &Flash, image: Option<&Path>, image_size: Option<u64>) -> Result<Request> {
    let PayloadArgs { files, identity_dir, .. } = &args.payload;
    let named = NamedPaths { image, files: files.as_deref(), identities: identity_dir.as_deref() };
    let may_ask = !args.confirm.yes && ui::can_ask();
    let mounted = if args.unmount || may_ask { Mounted::Unmounted } else { Mounted::Refused };
    Ok(Request {
        image_size,
        virtual_cards: args.confirm.virtual_cards(),
        mounted,
        protected: protected_paths(cx, named),
        confirmation: args.confirm.confirmation()?,
    })
}

/// Shows `plan` and asks for confirmation. Returns the plan with the current mounts of the card: desktops mount a card
/// that was just inserted.
fn show_and_confirm(cx: &Context, args: &Flash, request: &Request, plan: Plan) -> Result<Plan> {
    cx.show_plan(&plan);
    let conflicts = disk::label_conflicts(&Roots::default(), &plan.disk);
    let conflicts = conflicts.into_iter().filter(|_| image::has_nixos_sd(&plan.image));
    let key_warning = image::host_key_warning(&plan.shared_host_keys());
    let login_warning = plan.login_keys.as_ref().and_then(LoginKeys::warning);
    let disc_warning = image::optical_disc_warning(&plan.image.source);
    for warning in key_warning.iter().chain(&disc_warning).chain(&login_warning) {
        cx.reporter.report(warning);
    }
    for warning in plan.disk.size_warning().into_iter().chain(conflicts) {
        cx.warn(warning);
    }
    args.confirm.confirm(&plan.disk, "Everything on this card will be lost.")?;
    let disk = Disk::load(&Roots::default(), &plan.disk.path)?;
    plan.disk.require_same(&disk)?;
    refuse(&refusals(&disk, request))?;
    let plan = Plan::new(plan.image, disk, plan.mode, plan.payload).with_login_keys(plan.login_keys);
    confirm_unmounting(args, &plan)?;
    Ok(plan)
}

/// Asks whether the mounted partitions of the card may be unmounted, unless `--unmount` was given.
///
/// # Errors
/// `Refused` for another answer than yes, and `Interrupted` for Ctrl-C.
fn confirm_unmounting(args: &Flash, plan: &Plan) -> Result<()> {
    let mounts = plan.disk.plain_mounts();
    let sentences = mounts.map(|(device, at)| format!("/dev/{device} is mounted at {}", at.display()));
    let sentences = sentences.collect::<Vec<_>>();
    if sentences.is_empty() || args.unmount {
        return Ok(());
    }
    let pronoun = if sentences.len() > 1 { "them" } else { "it" };
    let question = format!("{}. Unmount {pronoun}? [y/N]", sentences.join(", "));
    let prompt = Prompt { notice: "", question: &question, unanswered: "stopped; nothing was written" };
    if prompt.confirm()? {
        return Ok(());
    }
    bail!(Refused, "not confirmed; nothing was unmounted, and nothing was written")
}

fn show(cx: &Context, plan: &Plan, report: &Report) -> Result<()> {
    let path = plan.disk.path.display();
    if cx.json {
        let identity = plan.payload.as_ref().and_then(|payload| payload.content.identity.as_ref());
        let result = serde_json::json!({
            "device": plan.disk.path, "image": plan.image.source.path, "identity": identity, "report": report,
            "login_keys": plan.login_keys, "file_sha256": plan.image.file_sha256
        });
        return ui::print_json(&result);
    }
    cx.reporter.report(&Event::Found { name: "total".into(), text: report.to_string() });
    if !report.boards.is_empty() {
        cx.reporter
            .report(&Event::Found { name: "boards".into(), text: boot::summarize_shortly(&report.boards) });
        for fault in boot::warnings(&report.boards) {
            cx.reporter.report(&Event::Warning { text: fault.message, hint: fault.hint });
        }
    }
    let payload = plan.payload.as_ref().map(|payload| format!(" and {}", payload.content.summary()));
    let payload = payload.unwrap_or_default();
    let size = Bytes(report.size);
    let sum = plan.image.file_sha256.as_deref().unwrap_or("unknown");
    ui::print_result(&format!("{path} holds the image{payload}: {size} read back, {FILE_SHA256} {sum}"))
}
