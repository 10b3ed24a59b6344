//! Installs a private Nix into a folder of the project, from a newer suite of the machine's distribution. The system
//! keeps its own Nix.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::bounded::{self, Links};
use crate::base::failure::with_hint;
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

/// The configuration of the private Nix under `prefix`. Builds run in a sandbox, since they could read the private keys of hosts
/// otherwise; builds of root each run as a user of their own, for which the machine needs no accounts.
/// `extra-platforms` lists `aarch64-linux`. The sandbox contains nothing of this machine but the shell as /bin/sh, which
/// builds expect of every Nix; it is at another place than Debian's Nix expects. The binary cache stays that of Nix, as
/// nearly all of a host's image is downloaded.
fn settings(prefix: &Path) -> String {
    let shell = prefix.join("usr/bin/bash-static").display().to_string();
    // Nix splits the list at spaces.
    let paths = if shell.contains(char::is_whitespace) { String::new() } else { format!(" /bin/sh={shell}") };
    format!(
        "auto-allocate-uids = true\nbuild-users-group =\n\
         experimental-features = nix-command flakes auto-allocate-uids\nextra-platforms = aarch64-linux\n\
         sandbox = true\nsandbox-fallback = false\nsandbox-paths ={paths}\n"
    )
}

/// The configuration of the Nix under `prefix`.
fn conf(prefix: &Path) -> PathBuf {
    prefix.join("etc/nix.conf")
}

/// Whether the Nix under `prefix` has another configuration, such as one of an earlier version of this tool.
pub fn is_outdated(prefix: &Path) -> bool {
    let expected = settings(prefix);
    let current = || bounded::read(&conf(prefix), expected.len() as u64, Links::Follow);
    prefix.join("bin/nix").exists() && !current().is_ok_and(|text| text == expected.as_bytes())
}

/// Writes the configuration of the Nix under `prefix`.
pub fn configure(prefix: &Path) -> Result<()> {
    write_settings(prefix, prefix)
}

/// Writes the configuration of a Nix that will be under `prefix` to the folder `place`.
fn write_settings(place: &Path, prefix: &Path) -> Result<()> {
    let conf = conf(place);
    state::write(&conf, settings(prefix).as_bytes()).with_context(|| format!("writing {}", conf.display()))
}

/// The folder of Nix's database of the store.
const NIX_STATE: &str = "/nix/var/nix";

/// Installs Nix into `prefix`, from the first of `suites` that the mirror has.
pub fn install(cx: &Context, suites: &[&str], prefix: &Path) -> Result<()> {
    let fresh = prefix.with_extension("new");
    let mut errors = Vec::new();
    for suite in suites {
        match unpack(cx, suite, &fresh) {
            Ok(()) => return replace(cx, &fresh, prefix),
            Err(error) => errors.push(format!("{suite}: {}", with_hint(&error))),
        }
    }
    bail!(Other, "no suite of the mirror has a recent nix-bin ({})", errors.join("; "))
}

fn unpack(cx: &Context, suite: &str, fresh: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(fresh);
    fs::create_dir_all(fresh).with_context(|| format!("creating {}", fresh.display()))?;
    let home = fresh.parent().unwrap_or(fresh).join("apt");
    Archive::open(cx, &home, suite, arch()?)?.install(&["nix-bin"], fresh)
}

/// Makes the unpacked packages a Nix that works from `prefix`, replaces the old `prefix` with it, and runs it once.
fn replace(cx: &Context, fresh: &Path, prefix: &Path) -> Result<()> {
    create_own_folders(fresh)?;
    set_library_path(cx, &fresh.join("usr/bin/nix"), prefix)?;
    link_commands(&fresh.join("bin"))?;
    write_settings(fresh, prefix)?;
    // Without this folder Nix takes /nix for absent, and uses another store for a user who is not root.
    fs::create_dir_all(NIX_STATE).with_context(|| format!("creating {NIX_STATE}"))?;
    let _ = fs::remove_dir_all(prefix);
    let context = || format!("renaming {} to {}", fresh.display(), prefix.display());
    fs::rename(fresh, prefix).with_context(context)?;
    let version = crate::nix::require(&private_nix::with_private_nix(cx.launcher.clone(), prefix))?;
    cx.note(format!("setup: nix {version} in {}", prefix.display()));
    Ok(())
}

/// Creates `bin` and `etc` in `fresh`. The packages of some suites contain them, `bin` as a link to `usr/bin`.
fn create_own_folders(fresh: &Path) -> Result<()> {
    ["bin", "etc"].map(|name| fresh.join(name)).iter().try_for_each(|folder| {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))
    })
}

/// Makes `program` load its libraries from `prefix`.
fn set_library_path(cx: &Context, program: &Path, prefix: &Path) -> Result<()> {
    let arch = arch()?;
    let libraries = prefix.join("usr/lib").join(arch.triplet());
    let loader = libraries.join(arch.loader());
    let args = [
        "--force-rpath",
        "--set-rpath",
        &utf8(&libraries)?,
        "--set-interpreter",
        &utf8(&loader)?,
        &utf8(program)?,
    ];
    cx.launcher.read("patchelf", &args).context("setting the library path of nix")?;
    Ok(())
}

/// Links the commands of Nix in `bin`.
fn link_commands(bin: &Path) -> Result<()> {
    let targets =
        COMMANDS.iter().map(|name| (bin.join(name), "nix")).chain([(bin.join("nix"), "../usr/bin/nix")]);
    for (name, target) in targets {
        symlink(target, &name).with_context(|| format!("linking {}", name.display()))?;
    }
    Ok(())
}

fn utf8(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}

fn arch() -> Result<Arch> {
    let unsupported = || failure!(Refused, "setup has no Nix for {} machines", std::env::consts::ARCH);
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
        fs::write(conf(prefix), "build-users-group =\nsandbox = false\n").unwrap();
        assert!(!is_outdated(prefix), "there is no Nix");
        fs::write(prefix.join("bin/nix"), "").unwrap();
        assert!(is_outdated(prefix));
        configure(prefix).unwrap();
        assert!(!is_outdated(prefix));
        let text = fs::read_to_string(conf(prefix)).unwrap();
        for line in ["sandbox = true", "sandbox-fallback = false", "auto-allocate-uids = true"] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
    }
}
