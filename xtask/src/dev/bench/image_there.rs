//! `bench hosts`: what `sd-image` of an image that is in the store takes more than `nix build` of it.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::in_turn::times_in_turn;
use super::samples::median;
use super::stats::{Quantity, Row};
use crate::base::{Context, FlakeRef};
use crate::nix::this_system;

/// A flake with an image of 5 KiB: the start of a boot record, its table with one partition, and zeros as digits.
const FLAKE: &str = r#"{
  outputs = { self }: {
    packages.SYSTEM.pi-sdImage = derivation {
      name = "pi.img";
      system = "SYSTEM";
      builder = "/bin/sh";
      args = [ "-c" "printf %0446d 0 >$out; printf 'ENTRIES\\125\\252' >>$out; printf %04608d 0 >>$out" ];
    };
  };
}
"#;

/// The four entries of the partition table, in octal numbers: from sector 1 on 9 sectors of Linux.
const ENTRIES: [u8; 64] = {
    let mut entries = [0; 64];
    entries[4] = 0x83;
    entries[8] = 1;
    entries[12] = 9;
    entries
};

/// The limit of the difference, in seconds.
const MAX_SECONDS: f64 = 0.3;

/// Measures both in each of the `rounds`, in turn, in a flake below `folder`.
///
/// # Errors
/// A build that fails, and Ctrl-C.
pub fn image_that_is_there(cx: &Context, folder: &Path, rounds: NonZero<u32>) -> Result<Row> {
    let flake = write_flake(&folder.join("image"))?;
    let launcher = cx.launcher.clone().with_env("XTASK_STATE", folder.join("image-state"));
    // The first round builds.
    let times =
        times_in_turn(&launcher, &[tool_command(&flake)?, nix_command(&flake)], rounds, "building an image")?;
    let [tool, nix] = times.map(|times| median(times).unwrap_or(f64::NAN));
    Ok(row(tool, nix))
}

/// Writes the flake into the new folder `dir`.
fn write_flake(dir: &Path) -> Result<FlakeRef> {
    let entries = ENTRIES.iter().map(|byte| format!("\\\\{byte:03o}")).collect::<String>();
    let text = FLAKE.replace("ENTRIES", &entries).replace("SYSTEM", &this_system());
    let doing = || format!("writing a flake to {}", dir.display());
    std::fs::create_dir(dir)
        .and_then(|()| std::fs::write(dir.join("flake.nix"), text))
        .with_context(doing)?;
    Ok(FlakeRef::with_all_files(dir))
}

fn tool_command(flake: &FlakeRef) -> Result<Vec<OsString>> {
    let own = std::env::current_exe().context("finding the tool itself")?;
    Ok(vec![own.into(), "--flake".into(), flake.as_str().into(), "sd-image".into(), "pi".into()])
}

fn nix_command(flake: &FlakeRef) -> Vec<OsString> {
    let image = format!("{flake}#packages.{}.pi-sdImage", this_system());
    let words = ["nix", "--extra-experimental-features", "nix-command flakes", "build", "--no-link", &image];
    words.map(OsString::from).to_vec()
}

/// The row of the difference between these times, in seconds.
fn row(tool: f64, nix: f64) -> Row {
    Row::of_limit("an image that is there, beyond nix build", Quantity::Time, tool - nix, MAX_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_has_a_limit() {
        assert_eq!((row(0.5, 0.25).tool, row(0.5, 0.25).kept), (Some(0.25), Some(true)));
        assert_eq!(row(0.75, 0.25).kept, Some(false));
    }

    #[test]
    fn the_flake_has_an_image_with_one_partition() {
        let dir = tempfile::tempdir().unwrap();
        write_flake(&dir.path().join("flake")).unwrap();
        let text = std::fs::read_to_string(dir.path().join("flake/flake.nix")).unwrap();
        assert!(text.contains(r"printf '\\000\\000\\000\\000\\203"), "{text}");
        assert!(text.contains(r"\\000\\125\\252'"), "{text}");
    }
}
