//! The check whether a board boots from an image, before the image is written: of the files of FIRMWARE, which is the
//! first partition. The boot menu is checked on the card.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::Image;
use super::chunk_hash::{CHUNK, read_chunk};
use crate::base::failure::ExitKind;
use crate::base::memfd;
use crate::boot::Board;
use crate::card::inspect::{self, MAX_MEMORY, Partition};

/// Refuses an `image` from which `board` does not boot.
///
/// # Errors
/// `Refused` with the first fault of FIRMWARE, and an image that cannot be read.
pub fn check_board(image: &Image, board: Board) -> Result<()> {
    let path = image.source.path.display();
    let front = front(image).with_context(|| format!("reading FIRMWARE of {path}"))?;
    let proof = inspect::prove_firmware(&front, &image.layout, board)?;
    proof.require_boots(ExitKind::Refused).with_context(|| path.to_string())
}

/// The beginning of `image` up to the end of its first partition, in memory. Blank parts take none.
fn front(image: &Image) -> Result<File> {
    let first = image.layout.partitions.iter().min_by_key(|partition| partition.start);
    let end = first.map_or(0, Partition::end).min(MAX_MEMORY);
    let file = memfd::file("beginning of the image")?;
    file.set_len(image.size)?;
    let mut stream = image.source.stream()?.take(end);
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let size = read_chunk(&mut stream, &mut chunk).map_err(|(_, error)| error)?;
        if chunk[..size].iter().any(|byte| *byte != 0) {
            file.write_all_at(&chunk[..size], at)?;
        }
        at += size as u64;
        if size < chunk.len() {
            return Ok(file);
        }
    }
}
