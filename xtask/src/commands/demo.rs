//! `demo`: the whole way on this machine, without a Pi and without a card.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::payload::PayloadSetup;
use crate::base::{Bytes, Context, interrupt, project};
use crate::card::disk::{Confirmation, Disk, Mounted, Request, Roots, VirtualCards, refusals, refuse};
use crate::card::flash::{self, Mode, PayloadPlan, Plan, Report};
use crate::card::image::{self, Depth, Image, Source};
use crate::card::inspect::{self, BootFiles, Budget, Inspection};
use crate::card::worker;
use crate::cli::{Demo, PayloadArgs};
use crate::commands::sudo;
use crate::dev::demo::{self, Staged, VirtualCard};
use crate::dev::qemu::{self, Proven};
use crate::identity::Identity;
use crate::nix;
use crate::nix::emulation;
use crate::receipt::{self, Flashed};
use crate::setup::{self, Needs};
use crate::ui;

/// The name of its one host.
const HOST: &str = "demo";

pub fn run(cx: &mut Context, args: &Demo) -> Result<()> {
    let start = Instant::now();
    let needs = [Needs::Build, Needs::Boot];
    setup::ensure(cx, if args.boot.is_some() { &needs } else { &needs[..1] }, sudo::ASK)?;
    let setup_seconds = start.elapsed().as_secs_f64();
    let home = project::state_dir().join("demo");
    let (staged, file) = build(cx, &home)?;
    let build_seconds = start.elapsed().as_secs_f64() - setup_seconds;
    let image = image::examine(Source::open(&file)?, Depth::Whole, cx.reporter.as_ref())?;
    let mut card = VirtualCard::make(cx, &home, card_size(image.size))?;
    let flake = format!("path:{}", home.join("flake").display());
    let mut payload_setup = PayloadSetup::begin(cx, &PayloadArgs::default(), Some(HOST))?;
    let carried = payload_setup.pack(cx, &flake, &image)?;
    let plan = plan(&card, image, carried)?;
    cx.plan(&plan);
    let hold = interrupt::guard()?;
    let begun = receipt::begin_flash(cx, Some((HOST, &flake)), &plan);
    let report = begun.watch(cx, |cx| worker::run(cx, &plan))?;
    let settled = payload_setup.settle(cx);
    begun.keep(cx, Flashed::new(Some((HOST, &flake)), &plan, &report));
    settled?;
    drop(hold);
    let contents = inspect(&card, report.size)?;
    card.unplug();
    let Plan { image, carried, .. } = plan;
    let identity = carried.and_then(|carried| carried.payload.identity);
    let fingerprint = identity.as_ref().map_or("none", |identity| &identity.fingerprint);
    let prove = |machine| qemu::prove(cx, machine, &card.file, &staged.emulator(), fingerprint);
    let before_boot = start.elapsed().as_secs_f64();
    let booted = args.boot.map(prove).transpose()?;
    let total = start.elapsed().as_secs_f64();
    let boot = booted.is_some().then_some(total - before_boot);
    let seconds = Seconds { setup: setup_seconds, build: build_seconds, boot, total };
    let VirtualCard { path: card, file, .. } = card;
    show(cx, &Done { image, card, file, report, identity, contents, booted, seconds })
}

/// What the demo has come to. Also its JSON.
#[derive(Serialize)]
struct Done {
    image: Image,
    /// The loop device that was the card, or the file itself.
    card: PathBuf,
    /// The file that was the card and still holds what was written.
    file: PathBuf,
    report: Report,
    /// Who the host on the card is.
    identity: Option<Identity>,
    contents: BootFiles,
    /// What the host on the card proved of itself, where it was booted; the card holds what became of it.
    booted: Option<Proven>,
    seconds: Seconds,
}

/// How long the parts took that the report of the flash does not tell.
#[derive(Serialize)]
struct Seconds {
    /// Putting in place what the machine lacked.
    setup: f64,
    /// Fetching the packages and building the image.
    build: f64,
    /// Booting the card in QEMU, where that was asked for.
    boot: Option<f64>,
    /// From the first to the last.
    total: f64,
}

/// Builds the image under emulation and returns its flake and its file.
fn build(cx: &Context, home: &std::path::Path) -> Result<(Staged, PathBuf)> {
    let version = nix::require(&cx.launcher)?;
    emulation::require(cx, version, "aarch64-linux")?;
    let staged = demo::stage(cx, home)?;
    // All inputs are here: a cache would only be asked in vain, and waited for where there is no network.
    let alone = ["--option", "substitute", "false"].map(str::to_owned);
    let built = nix::build(&cx.launcher, &staged.installable(), &alone, cx.reporter.as_ref())?;
    Ok((staged, image::find(&built.out)?))
}

/// The sizes of cards are powers of two here: emulators ask for that. There is room to grow.
fn card_size(image: u64) -> u64 {
    (image + 1).next_power_of_two()
}

/// The same checks as for a real card, with the size as the confirmation.
fn plan(card: &VirtualCard, image: Image, carried: Option<PayloadPlan>) -> Result<Plan> {
    let disk = Disk::load(&Roots::default(), &card.path)?;
    let confirmation = Confirmation::Expected { size: Some(card_size(image.size)), serial: None };
    let (image_size, virtual_cards) = (Some(image.size), VirtualCards::Allowed);
    let (mounted, protected) = (Mounted::Refused, Vec::new());
    refuse(&refusals(&disk, &Request { image_size, virtual_cards, mounted, protected, confirmation }))?;
    Ok(Plan::new(image, disk, Mode::default(), carried))
}

fn inspect(card: &VirtualCard, size: u64) -> Result<BootFiles> {
    let path = card.path.display();
    let disk = File::open(&card.path).with_context(|| format!("opening {path}"))?;
    let found = inspect::inspect(&disk, size, &Budget::unattended()).and_then(Inspection::bootable);
    found.with_context(|| format!("inspecting {path}"))
}

fn show(cx: &Context, done: &Done) -> Result<()> {
    if cx.json {
        return ui::json(done);
    }
    let Done { image, report, contents, .. } = done;
    let name = image.source.path.file_name().unwrap_or_default().display();
    ui::result(&format!(
        "image   {name}: {} ({} compressed)",
        Bytes(image.size),
        Bytes(image.source.stored.size)
    ))?;
    ui::result(&format!("card    {}, kept in {}", done.card.display(), done.file.display()))?;
    for volume in &contents.volumes {
        ui::result(&format!("        {volume}"))?;
    }
    let boot = &contents.boot;
    ui::result(&format!("boots   {}, then {}", boot.kernel, boot.init))?;
    ui::result(&format!("store   {} paths", boot.store_paths))?;
    if let Some(identity) = &done.identity {
        ui::result(&format!("host    {}, ssh key {}", identity.host, identity.fingerprint))?;
    }
    ui::result(&format!("proved  {} read back, hash {}", Bytes(report.size), report.hash))?;
    if let Some(proven) = &done.booted {
        ui::result("")?;
        ui::table(&qemu::table(proven))?;
        ui::result("")?;
    }
    let Seconds { setup, build, boot, total } = done.seconds;
    let flash::Seconds { write, verify, .. } = report.seconds;
    let parts = format!("setup {setup:.1} s, build {build:.1} s, write {write:.1} s, verify {verify:.1} s");
    let boot = boot.map(|seconds| format!(", boot {seconds:.1} s")).unwrap_or_default();
    ui::result(&format!("time    {total:.1} s: {parts}{boot}"))
}
