//! What is put on a card beside its image, once that is there and proved and before the card can boot.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::buffer::{Buffer, CHUNK};
use super::medium;
use super::task::Task;
use crate::failure::Kind;
use crate::image::content::{self, ChunkHash};
use crate::ui::Fate;

/// What has to be put there, and how it is proved. The engine does the writing, as carefully as that of the image.
pub trait Addition: Sync {
    /// What becomes other than the image has it, found out on the card, which holds all of the image but its first
    /// chunk. No change may touch that.
    fn changes(&self) -> Result<Vec<Change>>;
    /// Reads back from the card whether what was added is there. All changes are on the medium, and no
    /// cache has them.
    fn prove(&self) -> Result<()>;
}

/// Bytes for a place of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// In bytes from the start of the card.
    pub at: u64,
    pub bytes: Vec<u8>,
}

/// What a card holds beside its image, as read back from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// The hash of the card's first bytes, as many as the image has.
    #[serde(with = "crate::image::digest")]
    pub hash: blake3::Hash,
    /// The chunks that are not those of the image, in order.
    pub chunks: Vec<AddedChunk>,
}

/// A chunk that is not that of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedChunk {
    /// In bytes from the start of the card.
    pub at: u64,
    pub hash: ChunkHash,
}

/// Writes and proves `addition` on top of `body`. Returns what is on the card then, and how often something had
/// to be written again.
pub fn add(task: &Task, body: &mut Body, addition: &dyn Addition) -> Result<(Added, u32)> {
    let (mut chunks, mut retries, mut hashes) = (Vec::new(), 0, body.hashes.clone());
    for (at, changes) in by_chunk(task, addition.changes()?)? {
        task.may_go_on(at)?;
        let index = usize::try_from(at / CHUNK as u64)?;
        let mut chunk = of_image(task, at, &hashes[index])?;
        for change in &changes {
            let from = usize::try_from(change.at - at)?;
            chunk[from..from + change.bytes.len()].copy_from_slice(&change.bytes);
        }
        retries += task.medium.write_and_prove(&chunk, at)?;
        hashes[index] = ChunkHash::of(&chunk);
        body.fates.set(at, Fate::Added);
        chunks.push(AddedChunk { at, hash: hashes[index] });
    }
    addition.prove()?;
    Ok((Added { hash: content::whole(&hashes), chunks }, retries))
}

/// The changes to each chunk, none of which goes beyond it.
fn by_chunk(task: &Task, changes: Vec<Change>) -> Result<BTreeMap<u64, Vec<Change>>> {
    let (mut chunks, size) = (BTreeMap::<u64, Vec<Change>>::new(), CHUNK as u64);
    for Change { mut at, bytes } in changes {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let begin = at / size * size;
            let room = usize::try_from(begin + size - at)?.min(rest.len());
            if begin == 0 || at + room as u64 > task.content.size {
                return Err(Kind::Other.error(format!("byte {at} is no place for what is put on the card")));
            }
            let (now, later) = rest.split_at(room);
            chunks.entry(begin).or_default().push(Change { at, bytes: now.to_vec() });
            (at, rest) = (at + room as u64, later);
        }
    }
    Ok(chunks)
}

/// The chunk at `at`, read from the card, which must still have it as the image does.
fn of_image(task: &Task, at: u64, hash: &ChunkHash) -> Result<Buffer> {
    let mut chunk = Buffer::zeroed()?;
    chunk.resize(task.len_at(at));
    if let medium::Read::Unreadable(error) = task.medium.read_or_unreadable(&mut chunk, at)? {
        return Err(error);
    }
    if ChunkHash::of(&chunk) == *hash {
        return Ok(chunk);
    }
    Err(Kind::Verification.error(format!("the card does not hold at byte {at} what was just proved there")))
}
