//! What is put on a card beside its image, once that is there and proved and before the card can boot.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::body::Body;
use super::buffer::{Buffer, CHUNK};
use super::card_io;
use super::task::Task;
use crate::base::ChunkState;
use crate::base::failure::ExitKind;
use crate::card::image::chunk_hash::{self, ChunkHash};

/// What has to be put there, and how it is proved. The engine does the writing, as carefully as that of the image.
pub trait PayloadWriter: Sync {
    /// What becomes other than the image has it, found out on the card, which holds all of the image but its first
    /// chunk. No change may touch that.
    fn changes(&self) -> Result<Vec<Change>>;
    /// Reads back from the card whether what was added is there. All changes are on the card, and no
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
    /// The hash of the image that it was put on top of.
    #[serde(with = "crate::card::image::digest")]
    pub image: blake3::Hash,
    /// The hash of the card's first bytes, as many as the image has.
    #[serde(with = "crate::card::image::digest")]
    pub hash: blake3::Hash,
    /// The chunks that are not those of the image, in order.
    pub chunks: Vec<PayloadChunk>,
}

/// A chunk that is not that of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadChunk {
    /// In bytes from the start of the card.
    pub at: u64,
    pub hash: ChunkHash,
}

impl Added {
    /// The hash of the chunk at byte `at`, if it is none of the image.
    pub fn at(&self, at: u64) -> Option<ChunkHash> {
        self.chunks.iter().find(|chunk| chunk.at == at).map(|chunk| chunk.hash)
    }
}

/// Writes and proves `addition` on top of `body`. Returns what is on the card then, and how often something had
/// to be written again.
pub fn add(task: &Task, body: &mut Body, addition: &dyn PayloadWriter) -> Result<(Added, u32)> {
    let (mut chunks, mut retries, mut hashes) = (Vec::new(), 0, body.hashes.clone());
    // Ctrl-C ends the programs that the changes come from, too: that is the reason then, and not what they say.
    let stopped =
        |error| task.may_begin("the identity and the files were on the card").err().unwrap_or(error);
    for (at, changes) in by_chunk(task, addition.changes().map_err(stopped)?)? {
        task.may_go_on(at)?;
        let index = usize::try_from(at / CHUNK as u64)?;
        let mut chunk = of_image(task, at, &hashes[index])?;
        for change in &changes {
            let from = usize::try_from(change.at - at)?;
            chunk[from..from + change.bytes.len()].copy_from_slice(&change.bytes);
        }
        retries += task.card_io.write_and_prove(&chunk, at)?;
        hashes[index] = ChunkHash::of(&chunk);
        body.chunk_map.set(at, ChunkState::Added);
        chunks.push(PayloadChunk { at, hash: hashes[index] });
    }
    addition.prove().map_err(stopped)?;
    let [image, hash] = [&body.hashes, &hashes].map(|hashes| chunk_hash::whole(hashes));
    Ok((Added { image, hash, chunks }, retries))
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
                return Err(
                    ExitKind::Other.error(format!("byte {at} is no place for what is put on the card"))
                );
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
    if let card_io::Read::Unreadable(error) = task.card_io.read_or_unreadable(&mut chunk, at)? {
        return Err(error);
    }
    if ChunkHash::of(&chunk) == *hash {
        return Ok(chunk);
    }
    Err(ExitKind::Verification
        .error(format!("the card does not hold at byte {at} what was just proved there")))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::card::Card;
    use super::super::delta::Mode;
    use super::super::engine_fault_tests::{MIB, image};
    use super::super::fake_card::{FakeCard, Fault};
    use super::super::report::Report;
    use super::super::task::Content;
    use super::super::{compare, write_image};
    use super::*;
    use crate::base::{Silent, failure};
    use crate::card::image::chunk_hash::tests::hash;

    /// An addition of these changes; `look` is what proves it.
    pub struct Fixed<'a> {
        pub changes: Vec<Change>,
        pub look: &'a (dyn Fn() -> Result<()> + Sync),
    }

    impl PayloadWriter for Fixed<'_> {
        fn changes(&self) -> Result<Vec<Change>> {
            Ok(self.changes.clone())
        }

        fn prove(&self) -> Result<()> {
            (self.look)()
        }
    }

    /// Two that touch three chunks, one by way of its border.
    pub fn changes() -> Vec<Change> {
        let change = |at, len| Change { at, bytes: vec![0xad; len] };
        vec![change(2 * MIB - 100, 200), change(4 * MIB + 4096, 4096)]
    }

    /// `image` with `changes`.
    pub fn changed(image: &[u8], changes: &[Change]) -> Vec<u8> {
        let mut bytes = image.to_vec();
        for Change { at, bytes: new } in changes {
            let at = usize::try_from(*at).unwrap();
            bytes[at..at + new.len()].copy_from_slice(new);
        }
        bytes
    }

    fn flash(card: &dyn Card, image: &[u8], addition: &Fixed, cancel: &AtomicBool) -> Result<Report> {
        let open = || Ok(Box::new(std::io::Cursor::new(image.to_vec())) as Box<dyn std::io::Read + Send>);
        let content = Content { size: image.len() as u64, hash: None, open: &open };
        write_image(card, &content, Some(addition), Mode::Auto, &Silent, cancel)
    }

    fn compared(card: &FakeCard, image: &[u8], added: &Added) -> (bool, Vec<u64>) {
        let open = || Ok(Box::new(std::io::Cursor::new(image.to_vec())) as Box<dyn std::io::Read + Send>);
        let content = Content { size: image.len() as u64, hash: None, open: &open };
        let found = compare(card, &content, Some(added), &Silent, &AtomicBool::new(false)).unwrap();
        (found.added, found.differences)
    }

    #[test]
    fn the_card_holds_both_and_the_head_comes_last() {
        for fault in [Fault::None, Fault::FlippedTimes(4 * MIB + 5000, 2)] {
            let (image, card) = (image(6 * MIB + 512), FakeCard::new(9 * MIB, fault));
            let look = || {
                assert!(
                    card.head_is_blank()
                        && card.content()[CHUNK..].starts_with(&changed(&image, &changes())[CHUNK..])
                );
                Ok(())
            };
            let addition = Fixed { changes: changes(), look: &look };
            let report = flash(&card, &image, &addition, &AtomicBool::new(false)).unwrap();
            let both = changed(&image, &changes());
            assert!(card.content().starts_with(&both), "{fault:?}");
            let added = report.added.unwrap();
            assert_eq!((report.hash, added.image, added.hash), (hash(&image), hash(&image), hash(&both)));
            assert_eq!(added.chunks.iter().map(|chunk| chunk.at / MIB).collect::<Vec<_>>(), [1, 2, 4]);
            assert!(report.map.iter().any(|run| run.state == ChunkState::Added));
            assert_eq!(compared(&card, &image, &added), (true, Vec::new()), "{fault:?}");
        }
    }

    #[test]
    fn what_is_compared_with_an_image_and_what_was_added_to_it() {
        let (image, other) = (image(6 * MIB), vec![3; 6 * CHUNK]);
        let both = changed(&image, &changes());
        let chunks = [1, 2, 4].map(|mib| {
            let at = usize::try_from(mib * MIB).unwrap();
            PayloadChunk { at: mib * MIB, hash: ChunkHash::of(&both[at..at + CHUNK]) }
        });
        let added = Added { image: hash(&image), hash: hash(&both), chunks: chunks.into() };
        let mut damaged = both.clone();
        damaged[5 * CHUNK + 1] ^= 1;
        damaged[2 * CHUNK + 9000] ^= 1;
        for (holds, meant, expected) in [
            (&both, &image, (true, vec![])),
            (&damaged, &image, (true, vec![2 * MIB, 5 * MIB + 1])),
            // Somebody has written the image alone.
            (&image, &image, (true, vec![MIB, 2 * MIB, 4 * MIB])),
            // It is another image that is asked for: what was added to the first one is nothing to it.
            (&other, &other, (false, vec![])),
        ] {
            let found = compared(&FakeCard::holding(holds.clone(), Fault::None), meant, &added);
            // Where the first difference is inside does not matter where it is judged by a hash.
            let whole = |places: Vec<u64>| places.iter().map(|at| at / MIB).collect::<Vec<_>>();
            assert_eq!((found.0, whole(found.1)), (expected.0, whole(expected.1)));
        }
    }

    #[track_caller]
    fn fails(
        fault: Fault,
        changes: Vec<Change>,
        look: &(dyn Fn() -> Result<()> + Sync),
        kind: ExitKind,
        text: &str,
    ) {
        let (image, card) = (image(6 * MIB), FakeCard::new(9 * MIB, fault));
        let error = flash(&card, &image, &Fixed { changes, look }, &AtomicBool::new(false)).unwrap_err();
        let said = error.to_string();
        assert!(said.contains(text) && said.contains("the first MiB of the card is blank"), "{said}");
        assert_eq!(failure::kind(&error), kind, "{said}");
        assert!(card.head_is_blank());
    }

    #[test]
    fn what_goes_wrong_leaves_a_blank_head() {
        let fine = || Ok(());
        let wrong = || Err(ExitKind::Verification.error("it is not there"));
        fails(Fault::None, changes(), &wrong, ExitKind::Verification, "it is not there");
        let place = "is no place for what is put on the card";
        for (at, len) in [(MIB - 1, 2), (6 * MIB - 1, 2), (7 * MIB, 1)] {
            let change = vec![Change { at, bytes: vec![1; len] }];
            fails(Fault::None, change, &fine, ExitKind::Other, place);
        }
        let text = "the card does not hold what was written at byte 4194304, 3 times";
        // The first write of the place is that of the image, which is read back right.
        let worn = Fault::FlippedAfter(4 * MIB + 5000, 1);
        fails(worn, changes(), &fine, ExitKind::Verification, text);
    }

    #[test]
    fn a_request_to_stop_is_the_reason_whatever_the_programs_say() {
        let (image, card, cancel) =
            (image(6 * MIB), FakeCard::new(9 * MIB, Fault::None), AtomicBool::new(false));
        let look = || {
            cancel.store(true, Ordering::Relaxed);
            Err(ExitKind::Other.error("a program ended with exit code 130"))
        };
        let error = flash(&card, &image, &Fixed { changes: changes(), look: &look }, &cancel).unwrap_err();
        assert_eq!(failure::kind(&error), ExitKind::Interrupted, "{error}");
        assert!(card.head_is_blank());
    }
}
