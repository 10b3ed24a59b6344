//! The next step after each command: which command is likely to come next, in the words of the user.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::planned_card::WrittenCard;
use crate::base::{Context, HostName, NextStep, program, shell};
use crate::boot::{BoardProof, boots_only_qemu};
use crate::card::disk::Disk;
use crate::card::worker::{self, InspectJob};
use crate::cli::ImageArg;
use crate::deploy::{Ending, Left, Status};
use crate::nix::Revision;
use crate::receipt::{self, Flashed, Receipt};
use crate::ui;

/// Why a host that was deployed to is rebooted.
const REBOOT: &str = "starts what was deployed";
/// What the user does with a written card.
pub const INSERT: &str = "put the card into the Pi";

/// The host that a flake lacks.
pub fn new_host() -> NextStep {
    NextStep::run("cargo xtask new-host NAME --board pi4 --admin USER")
}

/// All steps to the running `host`, with the network of its Wi-Fi.
pub fn up(host: &str, has_wifi: bool) -> NextStep {
    let wifi = if has_wifi { " --wifi SSID" } else { "" };
    NextStep::run(format!("cargo xtask up {host}{wifi}"))
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

/// After an image of `host` was built, or its key was made: the card.
pub fn after_image(host: &HostName) {
    ui::end_with(NextStep::run(format!("cargo xtask flash {host:#}")));
}

/// After the images of several `hosts` were built: their cards.
pub fn after_images(hosts: &[HostName]) {
    let names = hosts.iter().map(|host| format!(" {host:#}")).collect::<String>();
    if !names.is_empty() {
        ui::end_with(NextStep::run(format!("cargo xtask flash{names}")));
    }
}

/// After a `card` was written: the first deploy, which waits for the Pi; a boot at the desk for a card without the
/// firmware of a Pi.
pub fn after_card(card: &WrittenCard) {
    match &card.host {
        _ if card.boots_only_qemu => boot(&card.device),
        Some(host) => ui::end_with(first_deploy(host).after(INSERT)),
        None => {}
    }
}

/// For a card at `device` that only QEMU boots.
pub fn boot(device: &Path) {
    let device = shell::quote(&device.to_string_lossy());
    ui::end_with(NextStep::run(format!("cargo xtask boot {device}")));
}

/// After several cards were written, which Pis boot as these `hosts`: their first deploy.
pub fn after_cards(hosts: &[HostName]) {
    let names = hosts.iter().map(|host| format!(" {host:#}")).collect::<String>();
    if !names.is_empty() {
        let deploy = NextStep::run(format!("cargo xtask deploy{names} --wait"));
        ui::end_with(deploy.after("put the cards into the Pis"));
    }
}

/// The deploy that waits for the Pi to start.
pub fn first_deploy(host: &HostName) -> NextStep {
    NextStep::run(format!("cargo xtask deploy {host:#} --wait"))
}

/// After a card of `host` was written as the host was.
pub fn after_restore(host: &HostName) {
    ui::end_with(NextStep::run(format!("cargo xtask status {host:#}")).after(INSERT));
}

/// After a release was written to `file`: its deploy, which takes a file without a signature only where it has to.
pub fn after_release(file: &Path, is_signed: bool) {
    let file = shell::quote(&file.to_string_lossy());
    let unsigned = if is_signed { "" } else { " --unsigned" };
    ui::end_with(NextStep::run(format!("cargo xtask deploy --release {file}{unsigned}")));
}

/// After a dry run: the same command without `--dry-run`.
pub fn after_dry_run() {
    without("--dry-run");
}

/// After a run that only showed what the same command without `option` does.
pub fn without(option: &str) {
    ui::end_with(NextStep::run(program::command_line_without(option)));
}

/// After the `statuses` of hosts, which were compared with the flake, or with the release that the `options` name: the
/// deploy of those that differ; else the reboot of those that wait for one; else a look at failed units.
pub fn of_status(options: &str, statuses: &[Status]) -> Option<NextStep> {
    let left = statuses.iter().filter_map(|status| Some((&status.host, status.left()?))).collect::<Vec<_>>();
    let hosts_with = |wanted: &[Left]| {
        let hosts = left.iter().filter(|(_, left)| wanted.contains(left));
        hosts.map(|(host, _)| format!("{host:#}")).collect::<Vec<_>>()
    };
    let [behind, to_boot, to_reboot] =
        [&[Left::Deploy][..], &[Left::FirstBoot], &[Left::FirstBoot, Left::Reboot]].map(hosts_with);
    let failed_units = left.iter().find_map(|(_, left)| match left {
        Left::FailedUnits { command } => Some(command),
        _ => None,
    });
    if !behind.is_empty() {
        let step = NextStep::run(format!("cargo xtask deploy{options} {}", behind.join(" ")));
        let is_to_mend = |status: &Status| status.history.has_failed && status.left() == Some(Left::Deploy);
        Some(if statuses.iter().any(is_to_mend) {
            step.after("mend what failed in the last deploy")
        } else {
            step
        })
    } else if !to_reboot.is_empty() {
        let command = format!("cargo xtask deploy{options} {}", to_reboot.join(" "));
        Some(reboot(&command, !to_boot.is_empty()))
    } else {
        failed_units.map(|command| NextStep::run(command).because("shows why units have failed"))
    }
}

/// The step of rebooting the hosts of the deploy, or rollback, `command`. Where a system waits for `its_first_boot`, it
/// is not activated before.
fn reboot(command: &str, its_first_boot: bool) -> NextStep {
    let boot = if its_first_boot { " --boot" } else { "" };
    NextStep::run(format!("{command}{boot} --reboot")).because(REBOOT)
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

/// After a rollback of `host` to `revision`, which ended as `ending` says: a deploy from the flake would undo it.
pub fn after_rollback(host: &HostName, revision: &Revision, ending: &Ending) {
    match ending {
        Ending::Planned(_) => after_deploy("", [ending]),
        Ending::Ended(outcome) if outcome.awaits_reboot() => {
            let command = format!("cargo xtask rollback {host:#} {}", revision.short());
            ui::end_with(reboot(&command, outcome.awaits_first_boot()));
        }
        Ending::Ended(_) | Ending::NotReached(_) => {
            let step = NextStep::run(format!("cargo xtask deploy {host:#}"));
            ui::end_with(
                step.after("mend the flake").because("the next deploy brings back what the flake says"),
            );
        }
    }
}

/// After a card at `device`, which the flash of `flashed` wrote, was found to be good: the first deploy, unless the
/// host had one since.
pub fn after_good_card(cx: &Context, flashed: &Flashed) -> Result<()> {
    let Some(host) = flashed.card_host() else { return Ok(()) };
    let last = receipt::read_all(cx)?.into_iter().find(|receipt| receipt.host() == Some(host));
    if matches!(last, Some(Receipt::Flash(_))) {
        ui::end_with(first_deploy(&host.into()).after(INSERT));
    }
    Ok(())
}

/// After the `card` was booted: the first deploy, where a flash of this project wrote the card, a Pi may boot it too,
/// and the host had no deploy since.
pub fn after_card_boot(cx: &Context, card: &Disk) -> Result<()> {
    let Some(flashed) = receipt::of_card(cx, card) else { return Ok(()) };
    let inspected = worker::run(cx, &InspectJob { disk: card.clone() });
    let is_for_pi = inspected.is_ok_and(|inspection| !boots_only_qemu(&inspection.boards));
    if is_for_pi { after_good_card(cx, &flashed) } else { Ok(()) }
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
        return ui::end_with(NextStep::run(format!("cargo xtask boot --image {file}")));
    }
    flash_file(file);
}

/// After the image in `file` was found to be good.
fn flash_file(file: &Path) {
    let file = shell::quote(&file.to_string_lossy());
    ui::end_with(NextStep::run(format!("cargo xtask flash --image {file}")));
}

/// After the public keys in `file` of a checkout were changed, which the user commits.
pub fn commit(file: &Path) {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else { return };
    let step = NextStep::run(git_add(folder, &[Path::new(name)]));
    ui::end_with(step.because("a commit of it gives the change to the team"));
}

/// After the keys of a `host` were found to differ.
pub fn show_key(host: &HostName) {
    let step = NextStep::run(format!("cargo xtask identity show {host:#}"));
    ui::end_with(step.because("shows which file has another key"));
}

/// After no key of a host was found.
pub fn make_key() {
    let step = NextStep::run("cargo xtask identity make HOST");
    ui::end_with(step.because("makes the key before the first flash does"));
}

/// After keys were backed up to `file`: the proof that it opens. A backup to public keys opens with a private one: that
/// beside the first of the `recipients` files that has one.
pub fn after_backup(file: &Path, is_for_passphrase: bool, recipients: &[PathBuf]) {
    let key = match private_key_beside(recipients) {
        _ if is_for_passphrase => String::new(),
        Some(key) => format!(" --age-identity {}", shell::quote(&key.to_string_lossy())),
        None => " --age-identity FILE".to_owned(),
    };
    let file = shell::quote(&file.to_string_lossy());
    let step = NextStep::run(format!("cargo xtask identity restore {file}{key} --list"));
    ui::end_with(step.because("proves that the backup opens, and changes nothing"));
}

/// The private key beside the first public key of ssh in `files` that has one, by its name.
fn private_key_beside(files: &[PathBuf]) -> Option<PathBuf> {
    let public = files.iter().filter(|file| file.extension().is_some_and(|end| end == "pub"));
    public.map(|file| file.with_extension("")).find(|private| private.is_file())
}

/// After keys were restored, to a folder of its own if `has_own_folder`, which the overview does not see.
pub fn after_restored_keys(has_own_folder: bool) {
    let command = if has_own_folder { "cargo xtask identity list" } else { "cargo xtask" };
    ui::end_with(NextStep::run(command).because("shows the hosts and their keys"));
}

/// After the set-up of this machine.
pub fn overview() {
    ui::end_with(NextStep::run("cargo xtask").because("shows where things stand"));
}

/// After a list of hosts whose images are unknown.
pub fn evaluate_hosts() {
    let step = NextStep::run("cargo xtask hosts --evaluate");
    ui::end_with(step.because("finds the images that only an evaluation shows"));
}

/// After a card at `device` was found to be good.
pub fn flash_to(device: &Path) {
    let device = shell::quote(&device.to_string_lossy());
    ui::end_with(NextStep::run(format!("cargo xtask flash HOST {device}")));
}
