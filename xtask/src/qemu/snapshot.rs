//! Snapshots: what a booted host writes goes to a temporary file, and the card or the image stays as it is.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context as _, Error, Result};

use super::machine::{Drive, DriveFormat, Machine};
use super::workspace::Workspace;
use crate::bail;
use crate::base::interrupt::SignalGuard;
use crate::base::{Context, Phase, shell};
use crate::card::image::Source;
use crate::failure;

/// The program that makes overlays.
pub const IMAGE_PROGRAM: &str = "qemu-img";

/// How much larger than an image its card is at least, so that the first boot can grow the partition, in bytes.
const GROWTH: u64 = 1 << 30;

/// The amount of an image that is decompressed, and left out where it is zero, at once, in bytes.
const BLOCK: usize = 64 << 10;

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
/// `Permission` for a file that this user may not read.
pub fn overlay(cx: &Context, workspace: &Workspace, file: &Path, size: u64) -> Result<Drive> {
    let overlay = workspace.path("card.qcow2");
    let mut args = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"].map(Into::into).to_vec();
    args.extend([file.as_os_str().to_owned(), overlay.clone().into(), size.to_string().into()]);
    cx.launcher
        .read(IMAGE_PROGRAM, &args)
        .with_context(|| format!("making a snapshot of {}", file.display()))?;
    Ok(Drive { file: overlay, format: DriveFormat::Overlay })
}

/// Decompresses `source`, whose content has `content` bytes, to a drive of `size` bytes. Blocks of zeros take no space.
///
/// # Errors
/// A damaged image, a full disk, and `Interrupted`.
pub fn decompress(
    cx: &Context,
    workspace: &Workspace,
    source: &Source,
    content: u64,
    size: u64,
    signals: &SignalGuard,
) -> Result<Drive> {
    let path = workspace.path("card.img");
    let writing = || format!("writing {}", path.display());
    // The card may hold private keys.
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
    let file = file.with_context(writing)?;
    let mut stream = source.stream()?;
    let mut phase = Phase::begin(cx.reporter.as_ref(), "decompress", Some(content));
    let mut block = vec![0; BLOCK];
    let mut position = 0;
    loop {
        signals.check()?;
        let count = read_block(&mut stream, &mut block).context("decompressing the image")?;
        if count == 0 {
            break;
        }
        if block[..count].iter().any(|byte| *byte != 0) {
            file.write_all_at(&block[..count], position).map_err(|error| write_error(&path, error))?;
        }
        position += count as u64;
        phase.advance(count);
    }
    phase.end();
    file.set_len(size).with_context(writing)?;
    Ok(Drive { file: path, format: DriveFormat::Raw })
}

/// Reads until `block` is full or `stream` ends. Returns the number of bytes.
fn read_block(stream: &mut impl Read, block: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < block.len() {
        match stream.read(&mut block[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

/// The error for `path`, to which nothing can be written because of `error`.
fn write_error(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => failure!(
            Io, "there is no room for the decompressed image in {}", path.parent().unwrap_or(path).display();
            hint: "free some space there, or let XTASK_STATE name a folder on a larger disk"
        ),
        _ => Error::new(error).context(format!("writing {}", path.display())),
    }
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

    #[test]
    fn blocks_are_read_whole() {
        let mut stream = (&b"abc"[..]).chain(&b"defg"[..]);
        let mut block = [0; 5];
        assert_eq!(read_block(&mut stream, &mut block).unwrap(), 5);
        assert_eq!(&block, b"abcde");
        assert_eq!(read_block(&mut stream, &mut block).unwrap(), 2);
        assert_eq!(read_block(&mut stream, &mut block).unwrap(), 0);
    }

    #[test]
    fn a_full_disk_has_a_remedy() {
        use crate::base::failure::{ExitKind, hint, kind};
        let full = write_error(Path::new("/s/boot/run-1/card.img"), rustix::io::Errno::NOSPC.into());
        assert_eq!(kind(&full), ExitKind::Io);
        assert_eq!(full.to_string(), "there is no room for the decompressed image in /s/boot/run-1");
        assert!(hint(&full).unwrap().contains("XTASK_STATE"));
    }
}
