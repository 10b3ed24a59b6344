//! The images of the hosts of a release.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::base::{Context, checks, interrupt};
use crate::card::image::{self, Algorithm, Batch, Hasher, Source};
use crate::deploy::{ReleasedHost, ReleasedImage};
use crate::nix::StorePath;

/// Builds the images of those of `hosts` that have one.
///
/// # Errors
/// Those of the builds, and that of a file that is no image of a disk.
pub fn add(cx: &Context, hosts: &mut [ReleasedHost], nix_args: &[String]) -> Result<()> {
    let batch = Batch::OfHosts(hosts.iter().map(|host| host.host.clone()).collect());
    let images = checks::all(image::build_all(cx, &batch, nix_args)?)?;
    for (host, built) in hosts.iter_mut().zip(images) {
        let Some(built) = built else {
            cx.note(format!("{} has no image", host.host));
            continue;
        };
        image::require_disk_image(&Source::open(&built.file)?)?;
        host.image = Some(cx.in_phase("hash", || describe(&built.file))?);
    }
    Ok(())
}

/// What a release has of the image in `file`.
fn describe(file: &Path) -> Result<ReleasedImage> {
    let doing = || format!("reading {}", file.display());
    let signals = interrupt::guard()?;
    let name = file.display().to_string();
    let store_path = StorePath::containing(&name).with_context(|| format!("{name} is not in the store"))?;
    let mut source = File::open(file).with_context(doing)?;
    let mut hasher = Hasher::start(&BTreeSet::from([Algorithm::Sha256]));
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        signals.check()?;
        let count = source.read(&mut buffer).with_context(doing)?;
        if count == 0 {
            let sum = hasher.finish().pop().context("the sum was not computed")?;
            return Ok(ReleasedImage { store_path, file: name, bytes, sha256: sum.hex });
        }
        hasher.update(&buffer[..count]);
        bytes += count as u64;
    }
}
