//! Snapshots: what a booted host writes goes to a temporary file, and the card or the image stays as it is.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::machine::{Drive, DriveFormat, Machine};
use super::room;
use super::workspace::Workspace;
use crate::bail;
use crate::base::interrupt::SignalGuard;
use crate::base::{Context, Phase, shell};
use crate::card::image::{self, Image};

/// The program that makes overlays.
pub const IMAGE_PROGRAM: &str = "qemu-img";

/// How much larger than an image its card is at least, so that the first boot can grow the partition, in bytes.
const GROWTH: u64 = 1 << 30;

/// The size in bytes of the card of `machine` that holds an image of `image` bytes.
pub fn card_size_for_image(image: u64) -> u64 {
    (image + GROWTH).next_power_of_two()
}

/// The size in bytes that a card of `size` bytes has in `machine`: the SD cards of a Pi in QEMU have a power of two.
pub fn card_size_in(machine: Machine, size: u64) -> u64 {
    match machine {
        Machine::Virt => size,
        Machine::Raspi3b => size.next_power_of_two(),
    }
}

/// Makes a drive of `size` bytes whose content is that of `file`, a file or a device that nobody writes to.
///
/// # Errors
/// Where `qemu-img` fails, and `Io` where there is no room for the snapshot.
pub fn overlay(cx: &Context, workspace: &Workspace, file: &Path, size: u64) -> Result<Drive> {
    let overlay = workspace.path("card.qcow2");
    let mut args = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"].map(Into::into).to_vec();
    args.extend([file.as_os_str().to_owned(), overlay.clone().into(), size.to_string().into()]);
    cx.launcher.read(IMAGE_PROGRAM, &args).map_err(|error| match room::full_folder(&overlay) {
        Some(folder) => room::error(folder),
        None => error.context(format!("making a snapshot of {}", file.display())),
    })?;
    Ok(Drive { file: overlay, format: DriveFormat::Overlay })
}

/// Decompresses `image` to a drive of `size` bytes.
///
/// # Errors
/// A damaged image, a full disk, and `Interrupted`.
pub fn decompress(
    cx: &Context,
    workspace: &Workspace,
    image: &Image,
    size: u64,
    signals: &SignalGuard,
) -> Result<Drive> {
    let path = workspace.path("card.img");
    let writing = || format!("writing {}", path.display());
    // The card may hold private keys.
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
    let file = file.with_context(writing)?;
    let mut phase = Phase::begin(cx.reporter.as_ref(), "decompress", Some(image.size));
    image::unpack(image, &file, &path, |chunk| {
        phase.advance(chunk);
        signals.check()
    })?;
    phase.end();
    file.set_len(size).with_context(writing)?;
    Ok(Drive { file: path, format: DriveFormat::Raw })
}

/// Checks that this user may read the card at `path`: the emulator reads it itself.
///
/// # Errors
/// `Permission`, with commands that let the user read it.
pub fn check_readable(path: &Path) -> Result<()> {
    if rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok() {
        return Ok(());
    }
    let shown = path.display();
    let quoted = shell::quote(&path.to_string_lossy());
    bail!(
        Permission, "this user may not read {shown}, and the emulator runs as this user";
        hint: "run `sudo setfacl -m u:$USER:r {quoted}`, which holds until the card is taken out, or copy the card: \
               `sudo dd if={quoted} of=card.img bs=4M conv=sparse`, and name ./card.img"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_room_for_growth_and_a_size_that_its_machine_accepts() {
        assert_eq!(card_size_for_image(144 << 20), 2 << 30);
        assert_eq!(card_size_for_image(3 << 30), 4 << 30);
        assert_eq!(card_size_for_image((3 << 30) + 1), 8 << 30);
        let card = 31_914_983_424;
        assert_eq!(card_size_in(Machine::Virt, card), card);
        assert_eq!(card_size_in(Machine::Raspi3b, card), 32 << 30);
    }
}
