//! A recent Nix out of a newer suite of the machine's own distribution, in a folder of the project's: the
//! system keeps its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::bounded::{self, Links};
use crate::base::failure::ExitKind;
use crate::base::{Context, state};
use crate::nix::private_nix;
use crate::setup::debian::{Arch, Archive};

/// Other names that `nix` answers to (`nix-store` and so on), as its package links them.
const NAMES: [&str; 10] = [
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

/// Builds run in a sandbox, and where root builds, each as a user of its own, for which the machine needs no accounts: they
/// could read the private keys of hosts otherwise. `aarch64-linux` is promised. Nothing of this machine is in the sandbox:
/// what Debian's Nix puts there is not where it looks. The binary cache stays that of Nix: a host's image is nearly all
/// downloads.
const CONF: &str = "\
auto-allocate-uids = true
build-users-group =
experimental-features = nix-command flakes auto-allocate-uids
extra-platforms = aarch64-linux
sandbox = true
sandbox-fallback = false
sandbox-paths =
";

/// The configuration of the Nix under `prefix`.
fn conf(prefix: &Path) -> PathBuf {
    prefix.join("etc/nix.conf")
}

/// Whether there is a Nix under `prefix` with another configuration, as earlier versions of the tool wrote it.
pub fn is_outdated(prefix: &Path) -> bool {
    let known = || bounded::read(&conf(prefix), CONF.len() as u64, Links::Follow);
    prefix.join("bin/nix").exists() && !known().is_ok_and(|text| text == CONF.as_bytes())
}

/// Writes the configuration of the Nix under `prefix`.
pub fn configure(prefix: &Path) -> Result<()> {
    let conf = conf(prefix);
    state::write(&conf, CONF.as_bytes()).with_context(|| format!("writing {}", conf.display()))
}

/// Where Nix keeps what it knows of the store.
const STATE: &str = "/nix/var/nix";

/// Installs Nix into `prefix` out of the first of `suites` that the mirror has.
pub fn install(cx: &Context, suites: &[&str], prefix: &Path) -> Result<()> {
    let fresh = prefix.with_extension("new");
    let mut errors = Vec::new();
    for suite in suites {
        match unpack(cx, suite, &fresh) {
            Ok(()) => return settle(cx, &fresh, prefix),
            Err(error) => errors.push(format!("{suite}: {error:#}")),
        }
    }
    Err(ExitKind::Other.error(format!("no suite of the mirror has a recent nix-bin ({})", errors.join("; "))))
}

fn unpack(cx: &Context, suite: &str, fresh: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(fresh);
    fs::create_dir_all(fresh).with_context(|| format!("creating {}", fresh.display()))?;
    let home = fresh.parent().unwrap_or(fresh).join("apt");
    Archive::open(cx, &home, suite, arch()?)?.install(&["nix-bin"], fresh)
}

/// Makes the unpacked packages a Nix that works from `prefix`, tries it, and only then keeps it.
fn settle(cx: &Context, fresh: &Path, prefix: &Path) -> Result<()> {
    link(cx, fresh, prefix)?;
    // Without this folder Nix takes /nix for absent, and makes a user who is not root another store.
    fs::create_dir_all(STATE).with_context(|| format!("creating {STATE}"))?;
    let _ = fs::remove_dir_all(prefix);
    fs::rename(fresh, prefix).with_context(|| format!("moving {} to its place", fresh.display()))?;
    let version = crate::nix::require(&private_nix::enter(cx.launcher.clone(), prefix))?;
    cx.note(format!("setup: nix {version} in {}", prefix.display()));
    Ok(())
}

fn link(cx: &Context, fresh: &Path, prefix: &Path) -> Result<()> {
    let arch = arch()?;
    let (bin, etc) = (fresh.join("bin"), fresh.join("etc"));
    // Debian's base folders are links (`bin` to `usr/bin`) in suites whose packages still ship them.
    for dir in [&bin, &etc] {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    let program = fresh.join("usr/bin/nix");
    let libraries = prefix.join("usr/lib").join(arch.triplet());
    let loader = libraries.join(arch.loader());
    let words = [
        "--force-rpath",
        "--set-rpath",
        &text(&libraries)?,
        "--set-interpreter",
        &text(&loader)?,
        &text(&program)?,
    ];
    cx.launcher.read("patchelf", &words).context("making nix find its own libraries")?;
    let targets =
        NAMES.iter().map(|name| (bin.join(name), "nix")).chain([(bin.join("nix"), "../usr/bin/nix")]);
    for (name, target) in targets {
        symlink(target, &name).with_context(|| format!("linking {}", name.display()))?;
    }
    configure(fresh)
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is no UTF-8", path.display()))
}

fn arch() -> Result<Arch> {
    let text = || format!("setup has no Nix for machines of the kind {}", std::env::consts::ARCH);
    Arch::here().ok_or_else(|| ExitKind::Refused.error(text()))
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
