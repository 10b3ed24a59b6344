//! The next step after each command: which command is likely to come next, in the words of the user.

use std::path::Path;

use super::flash_card::WrittenCard;
use crate::base::{HostName, NextStep, program, shell};
use crate::ui;

/// What the user does with a written card.
pub const INSERT: &str = "put the card into the Pi";

/// After the files of a new `host` were written: all steps to the running host.
pub fn after_new_host(host: &str) {
    ui::end_with(NextStep::run(format!("cargo xtask up {host}")));
}

/// After an image of `host` was built, or its key was made: the card.
pub fn after_image(host: &HostName) {
    ui::end_with(NextStep::run(format!("cargo xtask flash {host:#}")));
}

/// After a `card` was written: the first deploy, which waits for the Pi; a boot at the desk for a card without the
/// firmware of a Pi.
pub fn after_card(card: &WrittenCard) {
    let device = shell::quote(&card.device.to_string_lossy());
    match &card.host {
        _ if card.boots_only_qemu => ui::end_with(NextStep::run(format!("cargo xtask boot {device}"))),
        Some(host) => ui::end_with(first_deploy(host).after(INSERT)),
        None => {}
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

/// After a dry run: the same command without `--dry-run`.
pub fn after_dry_run() {
    ui::end_with(NextStep::run(program::command_line_without("--dry-run")));
}

/// After a host became known, or some were found that differ from the flake.
pub fn deploy<'a>(hosts: impl IntoIterator<Item = &'a HostName>) {
    let names = hosts.into_iter().map(|host| format!(" {host:#}")).collect::<String>();
    if !names.is_empty() {
        ui::end_with(NextStep::run(format!("cargo xtask deploy{names}")));
    }
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
