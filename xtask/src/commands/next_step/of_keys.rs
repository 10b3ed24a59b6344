//! The next step after commands about keys.

use std::path::{Path, PathBuf};

use crate::base::{Context, HostName, NextStep, shell};
use crate::commands::flake_hosts;
use crate::ui;

/// After the keys of a `host` were found to differ.
pub fn show_key(host: &HostName) {
    let command = format!("cargo xtask identity show {host:#}");
    ui::end_with(NextStep::run_because(command, "shows which file has another key"));
}

/// After the key of a `host` of the flake was made or moved: the card that gets it, with the image of the flake or, for
/// a host that has none there, with another.
pub fn after_key(cx: &Context, host: &HostName) {
    if flake_hosts::may_flash(cx, host) {
        return super::after_image(host);
    }
    let command = format!("cargo xtask flash --image FILE --identity-of {host:#}");
    ui::end_with(NextStep::run(command, "writes an image and the key to a card"));
}

/// After no key of a host was found.
pub fn make_key() {
    let command = "cargo xtask identity make HOST";
    ui::end_with(NextStep::run_because(command, "makes the key before the first flash does"));
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
    let command = format!("cargo xtask identity restore {file}{key} --list");
    ui::end_with(NextStep::run_because(command, "proves that the backup opens, and changes nothing"));
}

/// The private key beside the first public key of ssh in `files` that has one, by its name.
fn private_key_beside(files: &[PathBuf]) -> Option<PathBuf> {
    let public = files.iter().filter(|file| file.extension().is_some_and(|end| end == "pub"));
    public.map(|file| file.with_extension("")).find(|private| private.is_file())
}

/// After keys were restored, to a folder of its own if `has_own_folder`, which the overview does not see.
pub fn after_restored_keys(has_own_folder: bool) {
    let command = if has_own_folder { "cargo xtask identity list" } else { "cargo xtask" };
    ui::end_with(NextStep::run_because(command, "shows the hosts and their keys"));
}
