//! Reads the state back from the image, by the project's own reader, and compares it with what was written.

use std::fs::File;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::RawFile;
use super::writer::{AllMade, Made, MadeKind};
use crate::base::{Phase, Plain};
use crate::card::image::Ext4Region;
use crate::card::inspect::{Budget, Ext4, Inode};
use crate::failure;

/// How much may be read to find one file, in bytes.
const LOOKUP_BUDGET: u64 = 256 << 10;

/// Compares all that was `made` with the file system `region` of `raw`.
///
/// # Errors
/// `Verification` for the first path that differs.
pub fn verify(
    raw: &RawFile,
    region: &Ext4Region,
    made: &AllMade,
    cancel: &AtomicBool,
    phase: &mut Phase,
) -> Result<()> {
    let disk = File::open(raw.path()).context("opening the image")?;
    let bytes = made.values().map(|made| match made.kind {
        MadeKind::File { size, .. } => LOOKUP_BUDGET + 2 * size,
        MadeKind::Folder | MadeKind::Link(_) => LOOKUP_BUDGET,
    });
    let budget = Budget::new(cancel).with_more_bytes(bytes.sum());
    let ext4 = Ext4::open(&disk, region.start, region.size, budget).context("reading the file system")?;
    let mut paths = made.iter().collect::<Vec<_>>();
    paths.sort_by_key(|(path, _)| *path);
    for (path, made) in paths {
        let doing = || format!("reading {}", Plain(path));
        let found = ext4.find_itself(path).with_context(doing)?;
        let found = found
            .ok_or_else(|| failure!(Verification, "{} of the state is missing in the image", Plain(path)))?;
        if !has_metadata(&found, made) || !has_content(&ext4, &found, made, phase).with_context(doing)? {
            return Err(failure!(Verification, "{} differs from the state", Plain(path)));
        }
    }
    Ok(())
}

/// Whether `found` has the kind, the mode, the owner and the time of `made`. A link has no mode of its own.
fn has_metadata(found: &Inode, made: &Made) -> bool {
    let Made { kind, mode, owner, modified } = made;
    let is_kind = match kind {
        MadeKind::Folder => found.is_folder(),
        MadeKind::File { size, .. } => found.is_file() && found.size == *size,
        MadeKind::Link(_) => found.is_link(),
    };
    let has_mode = matches!(kind, MadeKind::Link(_)) || found.mode & 0o7777 == *mode;
    let has_time = modified.is_none_or(|modified| found.modified == modified.seconds);
    is_kind && has_mode && has_time && (found.user, found.group) == (owner.user, owner.group)
}

/// Whether `found` has the content of `made`.
fn has_content(ext4: &Ext4, found: &Inode, made: &Made, phase: &mut Phase) -> Result<bool> {
    match &made.kind {
        MadeKind::Folder => Ok(true),
        MadeKind::Link(target) => Ok(ext4.link_target(found)? == target.as_bytes()),
        MadeKind::File { hash, .. } => {
            let mut hasher = blake3::Hasher::new();
            ext4.read_pieces(found, |piece| {
                hasher.update(piece);
                phase.advance(piece.len());
                Ok(())
            })?;
            Ok(hasher.finalize() == *hash)
        }
    }
}
