//! Installs a private Nix into a folder of the project, from a newer suite of the machine's distribution. The system
//! keeps its own Nix.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::bounded::{self, Links};
use crate::base::failure::{ExitKind, kind, with_hint};
use crate::base::{Context, state};
use crate::nix::private_nix;
use crate::setup::debian::{Arch, Archive};
use crate::{bail, failure};

/// The other commands of the program `nix`, which are links to it in its package.
const COMMANDS: &[&str] = &[
    "nix-build",
    "nix-channel",
    "nix-collect-garbage",
    "nix-copy-closure",
    "nix-daemon",
    "nix-env",
    "nix-hash",
    "nix-instantiate",
    "nix-shell",
    "nix-store",
];

/// The configuration of the private Nix under `prefix`.
///
/// Builds run in a sandbox: otherwise they could read the private keys of hosts. The sandbox contains nothing of this
/// machine but a shell as /bin/sh, which builds expect of every Nix; Debian's Nix looks for that shell at another path,
/// so it is named here. The builds of root each run as a user of their own, for which the machine needs no accounts.
/// `extra-platforms` lists `aarch64-linux`. The binary cache stays that of Nix, as nearly all of a host's image is
/// downloaded.
fn settings(prefix: &Path) -> String {
    let shell = prefix.join("usr/bin/bash-static").display().to_string();
    // Nix splits the list at spaces.
    let paths = if shell.contains(char::is_whitespace) { String::new() } else { format!(" /bin/sh={shell}") };
    format!(
        "# `cargo xtask setup` replaces this file. \"The nix.conf of the user\" in docs/troubleshooting.md says which\n\
         # settings of ~/.config/nix/nix.conf count beside it.\n\
         auto-allocate-uids = true\nbuild-users-group =\n\
         experimental-features = nix-command flakes auto-allocate-uids\nextra-platforms = aarch64-linux\n\
         sandbox = true\nsandbox-fallback = false\nsandbox-paths ={paths}\n"
    )
}

/// The path of the configuration of the Nix under `prefix`.
fn conf_path(prefix: &Path) -> PathBuf {
    prefix.join("etc/nix.conf")
}

/// Whether there is a Nix under `prefix` with another configuration than [`settings`], such as that of an earlier
/// version of this tool.
pub fn is_outdated(prefix: &Path) -> bool {
    let expected = settings(prefix);
    let current = || bounded::read(&conf_path(prefix), expected.len() as u64, Links::Follow);
    prefix.join("bin/nix").exists() && !current().is_ok_and(|text| text == expected.as_bytes())
}

/// Writes the configuration of the Nix under `prefix`.
pub fn configure(prefix: &Path) -> Result<()> {
    write_settings(prefix, prefix)
}

/// Writes the configuration of a Nix that is in `folder` now, and under `prefix` when it runs.
fn write_settings(folder: &Path, prefix: &Path) -> Result<()> {
    let conf = conf_path(folder);
    state::write(&conf, settings(prefix).as_bytes()).with_context(|| format!("writing {}", conf.display()))
}

/// The folder with the database of the Nix store.
const NIX_STATE: &str = "/nix/var/nix";

/// Installs Nix into `prefix`, from the first of `suites` that the mirror has. All of them must have a recent Nix.
///
/// # Errors
/// Where no suite can be used, with the reason for each, and where the new Nix does not run. The Nix that was there
/// stays.
pub fn install(cx: &Context, suites: &[&str], prefix: &Path) -> Result<()> {
    let unpacked = prefix.with_extension("new");
    let failed = "nix-bin could be installed from no suite of the mirror";
    try_suites(suites, failed, |suite| unpack(cx, suite, &unpacked))?;
    replace(cx, &unpacked, prefix)
}

/// What `work` returns for the first of `suites` for which it does not fail.
///
/// # Errors
/// `Interrupted` where the user stops it; else `failed`, with the reason of each suite.
pub(super) fn try_suites<'a, T>(
    suites: &[&'a str],
    failed: &str,
    mut work: impl FnMut(&'a str) -> Result<T>,
) -> Result<T> {
    let mut errors = Vec::new();
    for suite in suites {
        match work(suite) {
            Err(error) if kind(&error) != ExitKind::Interrupted => {
                errors.push(format!("{suite}: {}", with_hint(&error)));
            }
            ended => return ended,
        }
    }
    bail!(Other, "{failed} ({})", errors.join("; "))
}

/// The folder with the private state of apt for a Nix in `prefix`.
pub(super) fn apt_folder(prefix: &Path) -> PathBuf {
    prefix.parent().unwrap_or(prefix).join("apt")
}

/// Downloads the package of Nix from `suite`, and unpacks it with its dependencies into the folder `into`.
fn unpack(cx: &Context, suite: &str, into: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(into);
    fs::create_dir_all(into).with_context(|| format!("creating {}", into.display()))?;
    Archive::open(cx, &apt_folder(into), suite, this_arch()?)?.install(&["nix-bin"], into)
}

/// Makes the `unpacked` packages a Nix that works from `prefix`, moves them there in place of an older Nix, and runs
/// the new Nix once.
fn replace(cx: &Context, unpacked: &Path, prefix: &Path) -> Result<()> {
    create_own_folders(unpacked)?;
    set_library_path(cx, &unpacked.join("usr/bin/nix"), prefix)?;
    link_commands(&unpacked.join("bin"))?;
    write_settings(unpacked, prefix)?;
    // Without this folder Nix takes /nix for absent, and gives a user who is not root another store.
    fs::create_dir_all(NIX_STATE).with_context(|| format!("creating {NIX_STATE}"))?;
    let old = prefix.with_extension("old");
    let _ = fs::remove_dir_all(&old);
    let is_update = prefix.exists();
    if is_update {
        rename(prefix, &old)?;
    }
    rename(unpacked, prefix)?;
    // Its programs name `prefix`, so that it runs nowhere else.
    match crate::nix::require(&private_nix::with_private_nix(cx.launcher.clone(), prefix)) {
        Ok(version) => cx.note(format!("setup: nix {version} in {}", prefix.display())),
        Err(error) => {
            rename(prefix, unpacked)?;
            if is_update {
                rename(&old, prefix)?;
            }
            return Err(error).context("running the new Nix");
        }
    }
    let _ = fs::remove_dir_all(&old);
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}

/// Creates the folders `bin` and `etc` in `unpacked`. The packages of some suites contain them, `bin` as a link to
/// `usr/bin`.
fn create_own_folders(unpacked: &Path) -> Result<()> {
    for name in ["bin", "etc"] {
        let folder = unpacked.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    Ok(())
}

/// Makes `program` load its libraries from `prefix`.
fn set_library_path(cx: &Context, program: &Path, prefix: &Path) -> Result<()> {
    let arch = this_arch()?;
    let libraries = prefix.join("usr/lib").join(arch.triplet());
    let loader = libraries.join(arch.loader());
    let args = [
        "--force-rpath",
        "--set-rpath",
        &to_utf8(&libraries)?,
        "--set-interpreter",
        &to_utf8(&loader)?,
        &to_utf8(program)?,
    ];
    cx.launcher.read("patchelf", &args).context("setting the library path of nix")?;
    Ok(())
}

/// Makes the links in the folder `bin` to the program `nix`: one for each of its commands.
fn link_commands(bin: &Path) -> Result<()> {
    let targets =
        COMMANDS.iter().map(|name| (bin.join(name), "nix")).chain([(bin.join("nix"), "../usr/bin/nix")]);
    for (name, target) in targets {
        symlink(target, &name).with_context(|| format!("linking {}", name.display()))?;
    }
    Ok(())
}

fn to_utf8(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The architecture of this machine.
///
/// # Errors
/// `Refused` where there are no packages of Nix for it.
pub(super) fn this_arch() -> Result<Arch> {
    let unsupported = || {
        failure!(
            Refused, "setup has no Nix for {} machines", std::env::consts::ARCH;
            hint: "put a Nix of your own on PATH, 2.18 or newer"
        )
    };
    Arch::of_this_machine().ok_or_else(unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_was_set_up_before_gets_the_sandbox() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = dir.path();
        for folder in ["bin", "etc"] {
            fs::create_dir(prefix.join(folder)).unwrap();
        }
        fs::write(conf_path(prefix), "build-users-group =\nsandbox = false\n").unwrap();
        assert!(!is_outdated(prefix), "there is no Nix");
        fs::write(prefix.join("bin/nix"), "").unwrap();
        assert!(is_outdated(prefix));
        configure(prefix).unwrap();
        assert!(!is_outdated(prefix));
        let text = fs::read_to_string(conf_path(prefix)).unwrap();
        for line in ["sandbox = true", "sandbox-fallback = false", "auto-allocate-uids = true"] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
    }
}
