//! Keeps a private Nix of a suite at the newest version of that suite, for the tests with several versions of Nix.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::nix::{apt_folder, install, this_arch, try_suites};
use crate::base::bounded::{self, Links};
use crate::base::{Context, state};
use crate::setup::debian::Archive;

/// Installs Nix into `prefix` as [`install`] does, unless the Nix there is of the version that the first suite with a
/// Nix has.
///
/// # Errors
/// Those of [`install`]. The Nix that was there stays.
pub fn install_newest_nix(cx: &Context, suites: &[&str], prefix: &Path) -> Result<()> {
    let record = prefix.join("etc/packages");
    let there = bounded::read(&record, MAX_RECORD, Links::Refuse).unwrap_or_default();
    let failed = "no suite of the mirror has nix-bin";
    let (suite, packages) = try_suites(suites, failed, |suite| Ok((suite, packages_of(cx, suite, prefix)?)))?;
    if there == packages.as_bytes() && prefix.join("bin/nix").exists() {
        return Ok(());
    }
    install(cx, &[suite], prefix)?;
    state::write(&record, packages.as_bytes()).with_context(|| format!("writing {}", record.display()))
}

/// The maximum size of a list of packages, in bytes.
const MAX_RECORD: u64 = 1 << 16;

/// The packages of Nix in `suite` with their versions, a line for each.
fn packages_of(cx: &Context, suite: &str, prefix: &Path) -> Result<String> {
    let archive = Archive::open(cx, &apt_folder(prefix), suite, this_arch()?)?;
    let lines =
        archive.resolve(&["nix-bin"])?.iter().map(|package| package.pinned() + "\n").collect::<Vec<_>>();
    Ok(lines.concat())
}
