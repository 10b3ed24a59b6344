//! `flash HOST [DEVICE]`: writes an image to a card and verifies it.

use std::path::Path;

use anyhow::Result;
use serde_json::Map;

use super::next_step;
use super::payload::{PayloadSetup, login_keys};
use super::protected::NamedPaths;
use super::write_card::{self, CardWriter};
use crate::base::{Context, checks};
use crate::card::disk::Disk;
use crate::card::flash::Plan;
use crate::card::image::{self, Built, CheckCache, Image, Limits, Source};
use crate::cli::{BuildArgs, Flash, ImageArg, PayloadArgs};
use crate::nix::Revision;

pub fn run(cx: &Context, args: &Flash) -> Result<()> {
    let (image_arg, device) = args.image_and_device()?;
    let host = image_arg.host();
    let writer = card_writer(args, args.image.as_deref());
    let (named, mut payload_setup) = check_command_line(cx, args, &image_arg, device)?;
    let named = if device.is_some() { named } else { writer.pick(cx)? };
    payload_setup.keep_out_of_stores(cx, &cx.flake)?;
    // Before the evaluation: a commit that is made meanwhile must not be taken for what was built.
    let revision = image_arg.file().map_or_else(|| Revision::of(&cx.launcher, &cx.flake), |_| None);
    let Built { file, layout } = build(cx, args, &image_arg, &mut payload_setup)?;
    let image = check_image(cx, args, &file, named.as_ref().map(|disk| disk.size))?;
    let payload = payload_setup.plan(cx, &cx.flake, &image, layout.as_ref())?;
    let writer = card_writer(args, Some(&file));
    let request = writer.request(cx, Some(image.size))?;
    let disk = write_card::find_card(cx, named, &request)?;
    let entries = payload.as_ref().map_or(&[][..], |payload| &payload.content.entries);
    let login_keys = login_keys(&image, layout.as_ref(), entries);
    let plan = Plan::new(image, disk, args.write.mode, payload).with_login_keys(Some(login_keys));
    let Some(plan) = writer.show_and_confirm(cx, &request, plan)? else { return Ok(()) };
    let source = host.as_ref().map(|host| (host, &cx.flake));
    writer.write(cx, &plan, source, revision, &payload_setup)?;
    if let Some(host) = plan.card_host().or(host) {
        next_step::after_card(&host);
    }
    Ok(())
}

/// Checks what the command line names, and reports all that is wrong with it at once: the card at `device`, the payload
/// and the file of the image. Returns the card, if one is named, and the payload.
fn check_command_line(
    cx: &Context,
    args: &Flash,
    image_arg: &ImageArg,
    device: Option<&Path>,
) -> Result<(Option<Disk>, PayloadSetup)> {
    let writer = card_writer(args, args.image.as_deref());
    let named = writer.find_named(cx, device);
    let payload_setup = PayloadSetup::begin(cx, &args.payload, image_arg.host().as_ref(), writer.goal());
    let source = image_arg.file().map(Source::open).transpose();
    let (checked, _) = checks::both(checks::both(named, payload_setup), source)?;
    Ok(checked)
}

/// How the card is written; `image` is the file of the image, once it is known.
fn card_writer<'a>(args: &'a Flash, image: Option<&'a Path>) -> CardWriter<'a> {
    let PayloadArgs { files, identity_dir, .. } = &args.payload;
    let named =
        NamedPaths { image, files: files.as_deref(), identities: identity_dir.as_deref(), state: None };
    CardWriter { args: &args.write, named, facts: Map::new() }
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
    args.write.board.map(|board| image::check_board(&image, board)).transpose()?;
    Ok(image)
}
