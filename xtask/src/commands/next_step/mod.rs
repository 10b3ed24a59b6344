//! The next step after each command: which command is likely to come next, in the words of the user.

mod of_keys;
mod of_status;

use std::path::{Path, PathBuf};

use anyhow::Result;

pub use self::of_keys::{after_backup, after_key, after_restored_keys, make_key, show_key};
pub use self::of_status::{of_rolled_back, of_status};
use super::flake_hosts;
use super::planned_card::WrittenCard;
use crate::base::{Context, HostName, NextStep, program, shell};
use crate::boot::{BoardProof, boots_only_qemu};
use crate::card::disk::Disk;
use crate::card::worker::{self, InspectJob};
use crate::cli::ImageArg;
use crate::deploy::Ending;
use crate::nix::Revision;
use crate::receipt::{self, Flashed, Receipt};
use crate::ui;

/// Why a host that was deployed to is rebooted.
const REBOOT: &str = "starts what was deployed";
/// Why a host is deployed to after its card was written.
const FIRST_DEPLOY: &str = "brings the Pi, once it has started, to what the flake says";
/// Why an image is flashed.
const WRITE_IMAGE: &str = "writes the image to a card";
/// Why a card or an image is booted.
const BOOT: &str = "boots it in QEMU";
/// What the user does with a written card.
pub const INSERT: &str = "put the card into the Pi";

/// The host that a flake lacks, with the further `options`.
pub fn new_host(options: &str) -> NextStep {
    let command = format!("cargo xtask new-host NAME --board pi4 --admin USER{options}");
    NextStep::run(command, "adds a host to the flake")
}

/// All steps to the running `host`, with the network of its Wi-Fi.
pub fn up(host: &str, has_wifi: bool) -> NextStep {
    let wifi = if has_wifi { " --wifi SSID" } else { "" };
    NextStep::run(format!("cargo xtask up {host}{wifi}"), "takes the host to a running Pi")
}

/// After the files of a new host were written: `step`. Before that, git has to list the `unlisted` files in `folder`.
pub fn after_new_host(step: NextStep, folder: &Path, unlisted: &[PathBuf]) {
    if unlisted.is_empty() {
        return ui::end_with(step);
    }
    let files = unlisted.iter().map(PathBuf::as_path).collect::<Vec<_>>();
    let step = step.after(git_add(folder, &files));
    ui::end_with(step.because("Nix sees only files that git lists"));
}

/// The command that adds `files` of `folder` to the list of git.
fn git_add(folder: &Path, files: &[&Path]) -> String {
    let quote = |path: &Path| shell::quote(&path.to_string_lossy());
    let is_here = std::env::current_dir().is_ok_and(|here| here == folder);
    let place = if is_here { String::new() } else { format!(" -C {}", quote(folder)) };
    let files = files.iter().map(|file| quote(file)).collect::<Vec<_>>().join(" ");
    format!("git{place} add {files}")
}

/// After an image of `host` was built: the card.
pub fn after_image(host: &HostName) {
    ui::end_with(NextStep::run(format!("cargo xtask flash {host:#}"), WRITE_IMAGE));
}

/// After the images of several `hosts` were built: their cards.
pub fn after_images(hosts: &[HostName]) {
    let names = hosts.iter().map(|host| format!(" {host:#}")).collect::<String>();
    if !names.is_empty() {
        ui::end_with(NextStep::run(format!("cargo xtask flash{names}"), "writes the images to cards"));
    }
}

/// After a `card` was written: the first deploy, which waits for the Pi; a boot at the desk for a card without the
/// firmware of a Pi.
pub fn after_card(cx: &Context, card: &WrittenCard) {
    match &card.host {
        _ if card.boots_only_qemu => boot(&card.device),
        Some(host) if flake_hosts::may_deploy(cx, host) => ui::end_with(first_deploy(host).after(INSERT)),
        _ => {}
    }
}

/// For a card at `device` that only QEMU boots.
pub fn boot(device: &Path) {
    let device = shell::quote(&device.to_string_lossy());
    ui::end_with(NextStep::run(format!("cargo xtask boot {device}"), BOOT));
}

/// After several cards were written, which Pis boot as these `hosts`: their first deploy.
pub fn after_cards(cx: &Context, hosts: &[HostName]) {
    let hosts = hosts.iter().filter(|host| flake_hosts::may_deploy(cx, host));
    let names = hosts.map(|host| format!(" {host:#}")).collect::<String>();
    if !names.is_empty() {
        let deploy = NextStep::run(format!("cargo xtask deploy{names} --wait"), FIRST_DEPLOY);
        ui::end_with(deploy.after("put the cards into the Pis"));
    }
}

/// The deploy that waits for the Pi to start.
pub fn first_deploy(host: &HostName) -> NextStep {
    NextStep::run(format!("cargo xtask deploy {host:#} --wait"), FIRST_DEPLOY)
}

/// After a card of `host` was written as the host was.
pub fn after_restore(host: &HostName) {
    let step = NextStep::run(format!("cargo xtask status {host:#}"), "shows whether the host runs again");
    ui::end_with(step.after(INSERT));
}

/// After a release was written to `file`: its deploy, with the `options` that it needs.
pub fn after_release(file: &Path, options: &str) {
    let file = shell::quote(&file.to_string_lossy());
    let command = format!("cargo xtask deploy --release {file}{options}");
    ui::end_with(NextStep::run(command, "deploys the release"));
}

/// After a dry run: the same command without `--dry-run`.
pub fn after_dry_run() {
    without("--dry-run");
}

/// After a run that only showed what the same command without `option` does.
pub fn without(option: &str) {
    ui::end_with(NextStep::run(program::command_line_without(option), "does what this run has only shown"));
}

/// The step of rebooting the hosts of the deploy, or rollback, `command`. Where a system waits for `its_first_boot`, it
/// is not activated before.
fn reboot(command: &str, its_first_boot: bool) -> NextStep {
    let boot = if its_first_boot { " --boot" } else { "" };
    NextStep::run_because(format!("{command}{boot} --reboot"), REBOOT)
}

/// After deploys from the flake, or from the release that the `options` name: the deploys themselves after a dry run,
/// and the reboot of the hosts that need one.
pub fn after_deploy<'a>(options: &str, endings: impl IntoIterator<Item = &'a Ending>) {
    let mut hosts = Vec::new();
    let mut is_planned = false;
    let mut is_first_boot = false;
    for ending in endings {
        match ending {
            Ending::Planned(plan) => is_planned |= plan.has_work(),
            Ending::Ended(outcome) if outcome.awaits_reboot() => {
                hosts.push(format!("{:#}", outcome.plan.target.host));
                is_first_boot |= outcome.awaits_first_boot();
            }
            Ending::Ended(_) | Ending::NotReached(_) => {}
        }
    }
    if is_planned {
        after_dry_run();
    } else if !hosts.is_empty() {
        let command = format!("cargo xtask deploy{options} {}", hosts.join(" "));
        ui::end_with(reboot(&command, is_first_boot));
    }
}

/// After a rollback of `host` to `revision`, which ended as `ending` says: a deploy from the flake would undo it,
/// unless the revision is the `present` one.
pub fn after_rollback(host: &HostName, revision: &Revision, present: Option<&Revision>, ending: &Ending) {
    match ending {
        Ending::Planned(_) => after_deploy("", [ending]),
        Ending::Ended(outcome) if outcome.awaits_reboot() => {
            let command = format!("cargo xtask rollback {host:#} {}", revision.short());
            ui::end_with(reboot(&command, outcome.awaits_first_boot()));
        }
        _ if present.is_some_and(|present| !present.dirty && present.rev == revision.rev) => {}
        Ending::Ended(_) | Ending::NotReached(_) => {
            let command = format!("cargo xtask deploy {host:#}");
            let step = NextStep::run_because(command, "the next deploy brings back what the flake says");
            ui::end_with(step.after("mend the flake"));
        }
    }
}

/// After a card at `device`, which the flash of `flashed` wrote, was found to be good: the first deploy, unless the
/// host had one since.
pub fn after_good_card(cx: &Context, flashed: &Flashed) -> Result<()> {
    let Some(host) = flashed.card_host() else { return Ok(()) };
    let last = receipt::read_all(cx)?.into_iter().find(|receipt| receipt.host() == Some(host));
    if matches!(last, Some(Receipt::Flash(_))) && flake_hosts::may_deploy(cx, &host.into()) {
        ui::end_with(first_deploy(&host.into()).after(INSERT));
    }
    Ok(())
}

/// After the `card` was booted: the first deploy, where a flash of this project wrote the card, a Pi may boot it too,
/// and the host had no deploy since.
pub fn after_card_boot(cx: &Context, card: &Disk) -> Result<()> {
    let Some(flashed) = receipt::of_card(cx, card) else { return Ok(()) };
    if is_for_qemu(cx, card) == Some(false) { after_good_card(cx, &flashed) } else { Ok(()) }
}

/// After the `card`, which the flash of `flashed` wrote, was verified: as after another good card, or a boot at the
/// desk where no Pi boots it.
pub fn after_verified_card(cx: &Context, card: &Disk, flashed: &Flashed) -> Result<()> {
    if is_for_qemu(cx, card) == Some(true) {
        boot(&card.path);
        return Ok(());
    }
    after_good_card(cx, flashed)
}

/// Whether the emulator boots the `card`, and no Pi; `None` where the card cannot be inspected.
fn is_for_qemu(cx: &Context, card: &Disk) -> Option<bool> {
    let inspection = worker::run(cx, &InspectJob { disk: card.clone() }).ok()?;
    Some(boots_only_qemu(&inspection.boards))
}

/// After an image was booted: the flash of a card.
pub fn after_boot(image: &ImageArg) {
    match image {
        ImageArg::Built(_) => image.host().iter().for_each(after_image),
        ImageArg::File(file) => flash_file(file),
    }
}

/// After the compressed image in `file` was inspected, with these proofs of `boards`: a boot at the desk for one
/// without the firmware of a Pi.
pub fn after_image_file(file: &Path, boards: &[BoardProof]) {
    if boots_only_qemu(boards) {
        let file = shell::quote(&file.to_string_lossy());
        return ui::end_with(NextStep::run(format!("cargo xtask boot --image {file}"), BOOT));
    }
    flash_file(file);
}

/// After the image in `file` was found to be good.
fn flash_file(file: &Path) {
    let file = shell::quote(&file.to_string_lossy());
    ui::end_with(NextStep::run(format!("cargo xtask flash --image {file}"), WRITE_IMAGE));
}

/// After the public keys in `file` of a checkout were changed, which the user commits.
pub fn commit(file: &Path) {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return };
    let command = git_add(folder, &[Path::new(name)]);
    ui::end_with(NextStep::run_because(command, "a commit of it gives the change to the team"));
}

/// After the set-up of this machine.
pub fn overview() {
    ui::end_with(NextStep::run_because("cargo xtask", "shows where things stand"));
}

/// After a list of hosts whose images are unknown.
pub fn evaluate_hosts() {
    let command = "cargo xtask hosts --evaluate";
    ui::end_with(NextStep::run_because(command, "finds the images that only an evaluation shows"));
}

/// After a card at `device` was found to be good.
pub fn flash_to(device: &Path) {
    let device = shell::quote(&device.to_string_lossy());
    ui::end_with(NextStep::run(format!("cargo xtask flash HOST {device}"), "writes an image to the card"));
}
