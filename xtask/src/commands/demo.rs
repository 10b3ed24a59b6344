//! `demo`: builds an image, flashes a virtual card and, with `--boot`, boots it, on this machine alone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

use super::next_step;
use super::payload::{Goal, PayloadSetup};
use super::plan_facts::PlanFacts;
use crate::base::{Bytes, Context, FlakeRef, HostName, JsonResult, interrupt};
use crate::card::disk::{Confirmation, Disk, Mounted, Request, Roots, VirtualCards, refusals, refuse};
use crate::card::flash::{self, FILE_SHA256, Mode, PayloadPlan, Plan, Report};
use crate::card::image::{self, Depth, Image, ImageFacts, Source, Wanted};
use crate::card::inspect::{self, BootFiles, Budget, Inspection};
use crate::card::worker;
use crate::cli::{Demo, PayloadArgs};
use crate::commands::sudo;
use crate::dev::demo::{self, StagedFlake, VerifiedHost, VirtualCard};
use crate::identity::Identity;
use crate::nix;
use crate::nix::emulation;
use crate::receipt::{self, Flashed};
use crate::setup::{self, Purpose};
use crate::ui;

/// The host of the demo.
const HOST: &str = "demo";

pub fn run(cx: &mut Context, args: &Demo) -> Result<()> {
    let start = Instant::now();
    let purposes: &[Purpose] =
        if args.boot.is_some() { &[Purpose::Build, Purpose::Boot] } else { &[Purpose::Build] };
    setup::ensure(cx, purposes, sudo::ASK)?;
    let setup_seconds = start.elapsed().as_secs_f64();
    let folder = cx.state.join("demo");
    let (staged, file) = build(cx, &folder, &args.nix_args)?;
    let build_seconds = start.elapsed().as_secs_f64() - setup_seconds;
    let image = image::examine(Source::open(&file)?, Depth::Whole, cx.reporter.as_ref())?;
    let mut card = VirtualCard::make(cx, &folder, card_size(image.size))?;
    let flake = FlakeRef::with_all_files(&folder.join("flake"));
    let host = HostName::from(HOST);
    let mut payload_setup = PayloadSetup::begin(cx, &PayloadArgs::default(), Some(&host), Goal::Write)?;
    let payload = payload_setup.plan(cx, &flake, &image, None)?;
    let plan = make_plan(&card, image, payload)?;
    cx.show_plan(&plan, &PlanFacts::from(&plan));
    let signals = interrupt::guard()?;
    let receipt = receipt::begin_flash(cx, Some((&host, &flake)), &plan);
    let report = receipt.record(cx, |cx| worker::run(cx, &plan))?;
    let known_hosts_updated = payload_setup.update_known_hosts(cx);
    receipt.complete(cx, Flashed::new(Some((&host, &flake)), &plan, &report));
    known_hosts_updated?;
    drop(signals);
    let contents = inspect_card(&card, report.size)?;
    card.detach();
    let Plan { image, payload, .. } = plan;
    let identity = payload.and_then(|payload| payload.content.identity);
    let fingerprint = identity.as_ref().map_or("none", |identity| &identity.fingerprint);
    let boot_start = start.elapsed().as_secs_f64();
    let verify = |machine| demo::verify_host(cx, machine, &card.file, &staged.emulator_uboot(), fingerprint);
    let booted = args.boot.map(verify).transpose()?;
    let total = start.elapsed().as_secs_f64();
    let boot = booted.as_ref().map(|_| total - boot_start);
    let seconds = Seconds { setup: setup_seconds, build: build_seconds, boot, total };
    let VirtualCard { path: device, file, .. } = card;
    let image = ImageFacts::from(&image);
    next_step::overview();
    show(cx, &DemoResult { image, device, file, report, identity, contents, booted, seconds })
}

/// The result of the demo. Also its JSON.
#[derive(Serialize, JsonSchema)]
pub struct DemoResult {
    image: ImageFacts,
    /// The loop device that was the card, or the file where there is no loop device.
    device: PathBuf,
    /// The file behind the card, which keeps the content of the card.
    file: PathBuf,
    report: Report,
    /// The identity of the host on the card.
    identity: Option<Identity>,
    contents: BootFiles,
    /// The facts that the booted host printed; `None` if nothing was booted. The card keeps the changes of the boots.
    booted: Option<VerifiedHost>,
    seconds: Seconds,
}

impl JsonResult for DemoResult {}

/// The durations of the demo in seconds, beside those in the report of the flash.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DemoSeconds")]
struct Seconds {
    /// Setting up the machine.
    setup: f64,
    /// Fetching the packages and building the image.
    build: f64,
    /// Booting the card in QEMU, if requested.
    boot: Option<f64>,
    /// The whole demo.
    total: f64,
}

/// Builds the image under emulation in `folder`, and returns its flake and its file.
fn build(cx: &Context, folder: &Path, nix_args: &[String]) -> Result<(StagedFlake, PathBuf)> {
    let version = nix::require(&cx.launcher)?;
    emulation::require(cx, version, "aarch64-linux", nix_args)?;
    let staged = demo::stage(cx, folder)?;
    // All inputs are local: a binary cache has none of the outputs, and without a network its queries would time out.
    let offline = ["--option", "substitute", "false"].map(str::to_owned);
    let options = [&offline, nix_args].concat();
    let built = nix::build(cx, &staged.installable()?, &options)?;
    Ok((staged, image::find(&built.out, Wanted::default())?))
}

/// The size of the card for an image of `image` bytes: a power of two, as QEMU requires, with space for the partition
/// to grow.
fn card_size(image: u64) -> u64 {
    (image + 1).next_power_of_two()
}

/// Plans the flash, with the checks for a real card and the size of `card` as the confirmation.
fn make_plan(card: &VirtualCard, image: Image, payload: Option<PayloadPlan>) -> Result<Plan> {
    let disk = Disk::load(&Roots::default(), &card.path)?;
    let confirmation = Confirmation::Expected { size: Some(card_size(image.size)), serial: None };
    let request = Request {
        image_size: Some(image.size),
        virtual_cards: VirtualCards::Allowed,
        mounted: Mounted::Refused,
        protected: Vec::new(),
        confirmation,
    };
    refuse(&refusals(&disk, &request))?;
    Ok(Plan::new(image, disk, Mode::default(), payload))
}

/// The boot files on `card`, of which the image takes the first `size` bytes.
///
/// # Errors
/// Where the card would not boot.
fn inspect_card(card: &VirtualCard, size: u64) -> Result<BootFiles> {
    let path = card.path.display();
    let disk = File::open(&card.path).with_context(|| format!("opening {path}"))?;
    let found = inspect::inspect(&disk, size, &Budget::without_stop()).and_then(Inspection::into_boot_files);
    found.with_context(|| format!("inspecting {path}"))
}

fn show(cx: &Context, result: &DemoResult) -> Result<()> {
    if cx.json {
        return ui::print_json(result);
    }
    let DemoResult { image, report, contents, .. } = result;
    let name = image.image.file_name().unwrap_or_default().display();
    ui::print_result(&format!(
        "image   {name}: {} ({} compressed)",
        Bytes(image.bytes),
        Bytes(image.stored_bytes)
    ))?;
    ui::print_result(&format!("card    {}, flashed as {}", result.file.display(), result.device.display()))?;
    for volume in &contents.volumes {
        ui::print_result(&format!("        {volume}"))?;
    }
    let boot = &contents.boot;
    ui::print_result(&format!("boots   {}, then {}", boot.kernel, boot.init))?;
    ui::print_result(&format!("store   {} paths", boot.store_paths))?;
    if let Some(identity) = &result.identity {
        ui::print_result(&format!("host    {}, ssh key {}", identity.host, identity.fingerprint))?;
    }
    let sum = image.file_sha256.as_deref().unwrap_or("unknown");
    ui::print_result(&format!("verify  {} read back, {FILE_SHA256} {sum}", Bytes(report.size)))?;
    if let Some(verified) = &result.booted {
        ui::print_result("")?;
        ui::print_table(&demo::table(verified))?;
        ui::print_result("")?;
    }
    let Seconds { setup, build, boot, total } = result.seconds;
    let flash::Seconds { write, verify, .. } = report.seconds;
    let parts = format!("setup {setup:.1} s, build {build:.1} s, write {write:.1} s, verify {verify:.1} s");
    let boot = boot.map(|seconds| format!(", boot {seconds:.1} s")).unwrap_or_default();
    ui::print_result(&format!("time    {total:.1} s: {parts}{boot}"))
}
