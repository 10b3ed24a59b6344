//! `restore HOST [DEVICE]`: writes a card as its host last had it: its system, its identity and its state.

mod generation;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;

use self::generation::Generation;
use super::flash_result::{RestoredFacts, StateFacts};
use super::next_step;
use super::payload::{PayloadSetup, login_keys};
use super::plan_facts::PlanFacts;
use super::protected::NamedPaths;
use super::required_boards;
use super::write_card::{self, CardWriter};
use super::{flake_hosts, keys};
use crate::bail;
use crate::base::{Context, ImageSource, interrupt};
use crate::card::disk::Disk;
use crate::card::ext4::{self, PayloadPlace};
use crate::card::flash::{PayloadPlan, Plan};
use crate::card::image::{self, Built, CheckCache, Depth, Image, Limits, Source};
use crate::card::saved_state::{HostFolder, StateArg, StateSource, Survey};
use crate::card::state_image::{RawFile, StateImage};
use crate::cli::{PayloadArgs, Restore};
use crate::identity::{KeyChoice, KeyFolder};
use crate::nix::flake::HostLayout;
use crate::receipt;

/// The folder of images with state, in the state folder.
const FOLDER: &str = "restore";

pub fn run(cx: &mut Context, args: &Restore) -> Result<()> {
    interrupt::set_undone(Some(write_card::UNDONE));
    let state_arg = args.state_arg()?;
    refuse_unknown(cx, args)?;
    let writer = card_writer(args, state_arg.as_ref(), None);
    let named = writer.find_named(cx, args.device.as_deref())?;
    let named = if args.device.is_some() { named } else { writer.pick(cx, &[])? };
    let generation = Generation::find(cx, args)?;
    check_before_build(cx, args, state_arg.as_ref())?;
    let mut payload_setup = PayloadSetup::begin(cx, &payload_args(args), Some(&args.host), writer.goal())?;
    payload_setup.keep_out_of_stores(cx, &generation.pinned)?;
    let Built { file, layout } = build(cx, args, &generation)?;
    let image = check_image(cx, args, &file, named.as_ref(), layout.as_ref())?;
    // From here on there is a file to remove, whenever the user stops.
    let cancel = Arc::new(AtomicBool::new(false));
    interrupt::set_flag_on_stop(&cancel)?;
    let _signals = interrupt::guard()?;
    let restored = match &state_arg {
        Some(arg) => {
            let place = ext4::payload_place(&image, layout.as_ref())?;
            Some(RestoredState::make(cx, args, arg, &image, &place, &cancel)?)
        }
        None => None,
    };
    let image = restored.as_ref().map_or(Ok(image), |state| state.image(cx))?;
    let payload = payload_setup.plan(cx, &cx.flake, &image, layout.as_ref())?;
    let mut writer = card_writer(args, state_arg.as_ref(), Some(&file));
    let request = writer.request(cx, Some(image.size));
    let disk = write_card::find_card(cx, named, &request)?;
    cx.show_plan(&generation, &generation_facts(&generation));
    show_state(cx, restored.as_ref());
    let plan = plan(args, image, disk, payload, layout.as_ref());
    writer.restored = Some(restored_facts(&generation, restored.as_ref()));
    let Some(plan) = writer.show_and_confirm(cx, &request, plan)? else { return Ok(()) };
    let report = writer.write(
        cx,
        &plan,
        Some((&args.host, &cx.flake)),
        generation.revision.clone(),
        &payload_setup,
    )?;
    generation.check_system(report.system.as_deref())?;
    next_step::after_restore(&args.host);
    Ok(())
}

/// The plan to write `image` with `payload` to the card, for a host with this `layout`.
fn plan(
    args: &Restore,
    image: Image,
    disk: Disk,
    payload: Option<PayloadPlan>,
    layout: Option<&HostLayout>,
) -> Plan {
    let entries = payload.as_ref().map_or(&[][..], |payload| &payload.content.entries);
    let login_keys = login_keys(&image, layout, entries);
    let boards = required_boards::of(args.write.board, layout);
    let plan = Plan::new(image, disk, args.write.mode, payload);
    plan.with_login_keys(Some(login_keys)).with_boards(boards)
}

/// The payload of a restored card: the identity that its host has.
fn payload_args(args: &Restore) -> PayloadArgs {
    PayloadArgs {
        identity: Some(KeyChoice::Keep),
        identity_dir: args.identity_dir.clone(),
        ..PayloadArgs::default()
    }
}

/// How the card is written; `image` is the file of the image, once it is known.
fn card_writer<'a>(
    args: &'a Restore,
    state: Option<&'a StateArg>,
    image: Option<&'a Path>,
) -> CardWriter<'a> {
    let identities = args.identity_dir.as_deref();
    let named = NamedPaths { image, files: None, identities, state: state.and_then(StateArg::path) };
    CardWriter { args: &args.write, named, restored: None }
}

/// Refuses a host of which there is neither a receipt nor a key, and that the flake does not have.
///
/// # Errors
/// `Usage`, and where the receipts or the keys cannot be read.
fn refuse_unknown(cx: &Context, args: &Restore) -> Result<()> {
    let folder = KeyFolder::new(&cx.state, &args.host, args.identity_dir.as_deref())?;
    if receipt::last_system(cx, &cx.flake, &args.host)?.is_some() || has_key(cx, &folder)? {
        return Ok(());
    }
    let nix_args = &args.build.nix.nix_args;
    flake_hosts::find_unknown(cx, &args.host, nix_args)?.map_or(Ok(()), Err)
}

fn has_key(cx: &Context, folder: &KeyFolder) -> Result<bool> {
    Ok(folder.public_key(&cx.launcher)?.is_some() || folder.pending_key(&cx.launcher)?.is_some())
}

/// Refuses, before a build of minutes, what would keep the card from its identity or its state.
fn check_before_build(cx: &Context, args: &Restore, state: Option<&StateArg>) -> Result<()> {
    state.map_or(Ok(()), |state| state.check(&cx.launcher))?;
    let folder = KeyFolder::new(&cx.state, &args.host, args.identity_dir.as_deref())?;
    if !has_key(cx, &folder)? {
        let host = &args.host;
        bail!(
            Refused, "{host} has no identity in {}: its secrets and its known_hosts expect the old one",
            folder.path().display();
            hint: "bring it back with `cargo xtask identity restore FILE`, from a backup of the identities; or run \
                   `cargo xtask flash {host:#}`, which makes a new one"
        );
    }
    ext4::find_programs(&cx.launcher).map(drop)
}

/// Builds the image of the generation, with the same protection of keys as for a flash.
fn build(cx: &Context, args: &Restore, generation: &Generation) -> Result<Built> {
    let nix_args = &args.build.nix.nix_args;
    let mut pinned = cx.with_flake(generation.pinned.clone());
    keys::check_inputs(&mut pinned, nix_args)?;
    image::build(&pinned, &ImageSource::Host(args.host.clone()), args.build.file.as_deref(), nix_args)
}

/// Checks the image in `file`, unless an earlier check of the same file counts.
fn check_image(
    cx: &Context,
    args: &Restore,
    file: &Path,
    card: Option<&Disk>,
    layout: Option<&HostLayout>,
) -> Result<Image> {
    let source = Source::open(file)?.with_limits(Limits::new(None, card.map(|disk| disk.size)));
    let image = image::examine_once(source, &CheckCache::new(&cx.state), cx.reporter.as_ref())?;
    required_boards::require(cx, &image, args.write.board, layout)?;
    Ok(image)
}

/// An image with a state, in a file that is removed with this value.
struct RestoredState {
    raw: RawFile,
    survey: Survey,
    /// Where the state comes from.
    source: String,
    /// The folder of the state on the running host.
    folder: String,
}

impl RestoredState {
    /// Measures the state that `arg` names, and writes it into a copy of `image`.
    fn make(
        cx: &Context,
        args: &Restore,
        arg: &StateArg,
        image: &Image,
        place: &PayloadPlace,
        cancel: &AtomicBool,
    ) -> Result<Self> {
        if !place.takes_files {
            bail!(
                Refused, "it is unknown where {} keeps its state: its host key is neither on the root file system nor in a \
                          folder `etc/ssh`", args.host;
                hint: "leave out --state, and copy the state to the running host"
            );
        }
        let folder = place.host_folder.as_str();
        let host_folder = HostFolder { named: args.state_path.as_deref(), default: folder };
        let mut source = StateSource::open(&cx.launcher, arg, &args.host, &place.root, host_folder, cancel)?;
        let survey = cx.in_phase("measure", || source.survey())?;
        if source.lacks_owners() {
            cx.warn("root owns all of the state on the card: only root can read the owners of a folder; an archive and \
                     a snapshot of restic have them");
        }
        survey.large_folder_warning().into_iter().for_each(|warning| cx.warn(warning));
        survey.skipped.sentences().for_each(|sentence| cx.warn(format!("not restored: {sentence}")));
        let maker = StateImage { folder: &cx.state.join(FOLDER), cancel, reporter: cx.reporter.as_ref() };
        let raw = maker.make(image, place, &source, &survey)?;
        let folder = if folder.is_empty() { "/" } else { folder };
        Ok(Self { raw, survey, source: source.to_string(), folder: folder.to_owned() })
    }

    /// The checked image. Its boot files are those of the image that was checked before.
    fn image(&self, cx: &Context) -> Result<Image> {
        let source = Source::open(self.raw.path())?;
        image::examine(source, Depth::Whole, cx.reporter.as_ref())
    }
}

/// Shows the lines of the plan about the state.
fn show_state(cx: &Context, restored: Option<&RestoredState>) {
    let Some(RestoredState { survey, source, folder, .. }) = restored else {
        return cx.note("state   none: the host begins with empty state (--state names a saved one)");
    };
    cx.note(format!("state   {source}"));
    cx.note(format!("        {survey}, to {folder}"));
}

/// The generation, for programs.
fn generation_facts(generation: &Generation) -> PlanFacts {
    let system = generation.system().map(str::to_owned);
    PlanFacts::Generation { system, revision: generation.revision.clone() }
}

/// What the result says beside that of a flash.
fn restored_facts(generation: &Generation, restored: Option<&RestoredState>) -> RestoredFacts {
    let state = restored.map(|state| StateFacts {
        source: state.source.clone(),
        folder: state.folder.clone(),
        content: state.survey.clone(),
    });
    RestoredFacts {
        planned_system: generation.system().map(str::to_owned),
        revision: generation.revision.clone(),
        state,
    }
}
