//! The payload of a card: written beside the image after the body is verified, and before the card can boot.

use std::collections::BTreeMap;

use anyhow::Result;

use super::body::Body;
use super::buffer::{Buffer, CHUNK};
use super::card_io::{self, BROKEN_CARD};
use super::flash_job::FlashJob;
use super::written_payload::{PayloadChunk, WrittenPayload};
use crate::bail;
use crate::base::ChunkState;
use crate::card::image::chunk_hash::{self, ChunkHash};

/// Makes the changes of a payload and verifies them. The engine writes the changes, as carefully as it writes the
/// image.
pub trait PayloadWriter: Sync {
    /// The changes to the image, computed from the card, which holds all of the image but the head. No change may
    /// touch the head.
    fn changes(&self) -> Result<Vec<Change>>;
    /// Reads the payload back from the card and compares it. All changes are on the card, and no cache holds them.
    fn verify(&self) -> Result<()>;
}

/// Bytes to be written at a position of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The position, in bytes from the start of the card.
    pub at: u64,
    pub bytes: Vec<u8>,
}

/// Writes the changes of `payload` on top of `body`, and verifies them. Returns the payload on the card and the number
/// of retries.
pub fn write(job: &FlashJob, body: &mut Body, payload: &dyn PayloadWriter) -> Result<(WrittenPayload, u32)> {
    let mut chunks = Vec::new();
    let mut retries = 0;
    let mut hashes = body.hashes.clone();
    // Ctrl-C also ends the programs that make the changes: then the stop is the cause, and not their failure.
    let cause_of = |error| {
        let stop = job.check_cancel_before("the identity and the files were on the card").err();
        stop.unwrap_or(error)
    };
    for (at, changes) in split_by_chunk(job, payload.changes().map_err(cause_of)?)? {
        job.check_cancel_at(at)?;
        let index = usize::try_from(at / CHUNK as u64)?;
        let mut chunk = read_image_chunk(job, at, &hashes[index])?;
        for change in &changes {
            let from = usize::try_from(change.at - at)?;
            chunk[from..from + change.bytes.len()].copy_from_slice(&change.bytes);
        }
        retries += job.card_io.write_and_verify(&chunk, at)?;
        hashes[index] = ChunkHash::of(&chunk);
        body.chunk_map.set(at, ChunkState::Payload);
        chunks.push(PayloadChunk { at, hash: hashes[index] });
    }
    payload.verify().map_err(cause_of)?;
    let image = chunk_hash::content_hash(&body.hashes);
    let hash = chunk_hash::content_hash(&hashes);
    Ok((WrittenPayload { image, hash, chunks }, retries))
}

/// The `changes` by the position of their chunk, split at its border. Fails for a change outside the body of the image.
fn split_by_chunk(job: &FlashJob, changes: Vec<Change>) -> Result<BTreeMap<u64, Vec<Change>>> {
    let mut chunks = BTreeMap::<u64, Vec<Change>>::new();
    let size = CHUNK as u64;
    for Change { mut at, bytes } in changes {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let begin = at / size * size;
            let len = usize::try_from(begin + size - at)?.min(rest.len());
            if begin == 0 || at + len as u64 > job.content.size {
                bail!(Other, "the payload may not change byte {at}, which is outside the body of the image");
            }
            let (part, remaining) = rest.split_at(len);
            chunks.entry(begin).or_default().push(Change { at, bytes: part.to_vec() });
            at += len as u64;
            rest = remaining;
        }
    }
    Ok(chunks)
}

/// Reads the chunk at byte `at` from the card. Fails where the card does not hold the image's chunk, which has `hash`.
fn read_image_chunk(job: &FlashJob, at: u64, hash: &ChunkHash) -> Result<Buffer> {
    let mut chunk = Buffer::zeroed()?;
    chunk.resize(job.chunk_len_at(at));
    if let card_io::Read::Unreadable(error) = job.card_io.read_or_unreadable(&mut chunk, at)? {
        return Err(error);
    }
    if ChunkHash::of(&chunk) == *hash {
        return Ok(chunk);
    }
    bail!(
        Verification, "the chunk at byte {at} of the card has changed since it was verified";
        hint: "{BROKEN_CARD}"
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::card::Card;
    use super::super::delta::Mode;
    use super::super::engine_fault_tests::{MIB, image};
    use super::super::fake_card::{FakeCard, Fault};
    use super::super::flash_job::ImageContent;
    use super::super::report::Report;
    use super::super::{compare, write_image};
    use super::*;
    use crate::base::failure::ExitKind;
    use crate::base::{Silent, failure};
    use crate::card::image::chunk_hash::tests::hash;

    /// A payload of fixed changes.
    pub struct FixedPayload<'a> {
        pub changes: Vec<Change>,
        pub verify: &'a (dyn Fn() -> Result<()> + Sync),
    }

    impl PayloadWriter for FixedPayload<'_> {
        fn changes(&self) -> Result<Vec<Change>> {
            Ok(self.changes.clone())
        }

        fn verify(&self) -> Result<()> {
            (self.verify)()
        }
    }

    /// Two changes that touch three chunks; the first crosses the border of two.
    pub fn changes() -> Vec<Change> {
        let change = |at, len| Change { at, bytes: vec![0xad; len] };
        vec![change(2 * MIB - 100, 200), change(4 * MIB + 4096, 4096)]
    }

    /// `image` with `changes`.
    pub fn with_changes(image: &[u8], changes: &[Change]) -> Vec<u8> {
        let mut bytes = image.to_vec();
        for Change { at, bytes: new } in changes {
            let at = usize::try_from(*at).unwrap();
            bytes[at..at + new.len()].copy_from_slice(new);
        }
        bytes
    }

    fn flash(card: &dyn Card, image: &[u8], payload: &FixedPayload, cancel: &AtomicBool) -> Result<Report> {
        let open = || Ok(Box::new(std::io::Cursor::new(image.to_vec())) as Box<dyn std::io::Read + Send>);
        let content = ImageContent { size: image.len() as u64, hash: None, open: &open };
        write_image(card, &content, Some(payload), Mode::Auto, &Silent, cancel)
    }

    /// Whether the card was expected to hold the payload, the positions of the differences in the image, and those of
    /// the differing chunks of the payload.
    type Found = (bool, Vec<u64>, Vec<u64>);

    fn compare_with_payload(card: &FakeCard, image: &[u8], payload: &WrittenPayload) -> Found {
        let open = || Ok(Box::new(std::io::Cursor::new(image.to_vec())) as Box<dyn std::io::Read + Send>);
        let content = ImageContent { size: image.len() as u64, hash: None, open: &open };
        let found = compare(card, &content, Some(payload), &Silent, &AtomicBool::new(false)).unwrap();
        (found.with_payload, found.differences, found.in_payload)
    }

    #[test]
    fn the_card_holds_the_image_and_the_payload_before_its_head_is_written() {
        for fault in [Fault::None, Fault::FlippedTimes(4 * MIB + 5000, 2)] {
            let image = image(6 * MIB + 512);
            let card = FakeCard::new(9 * MIB, fault);
            let verify = || {
                assert!(
                    card.head_is_blank()
                        && card.content()[CHUNK..].starts_with(&with_changes(&image, &changes())[CHUNK..])
                );
                Ok(())
            };
            let payload = FixedPayload { changes: changes(), verify: &verify };
            let report = flash(&card, &image, &payload, &AtomicBool::new(false)).unwrap();
            let both = with_changes(&image, &changes());
            assert!(card.content().starts_with(&both), "{fault:?}");
            let written = report.payload.unwrap();
            assert_eq!((report.hash, written.image, written.hash), (hash(&image), hash(&image), hash(&both)));
            assert_eq!(written.chunks.iter().map(|chunk| chunk.at / MIB).collect::<Vec<_>>(), [1, 2, 4]);
            assert!(report.map.iter().any(|run| run.state == ChunkState::Payload));
            assert_eq!(compare_with_payload(&card, &image, &written), (true, vec![], vec![]), "{fault:?}");
        }
    }

    #[test]
    fn a_comparison_expects_the_payload_only_on_its_own_image() {
        let image = image(6 * MIB);
        let other = vec![3; 6 * CHUNK];
        let both = with_changes(&image, &changes());
        let chunks = [1, 2, 4].map(|mib| {
            let at = usize::try_from(mib * MIB).unwrap();
            PayloadChunk { at: mib * MIB, hash: ChunkHash::of(&both[at..at + CHUNK]) }
        });
        let payload = WrittenPayload { image: hash(&image), hash: hash(&both), chunks: chunks.into() };
        let mut damaged = both.clone();
        damaged[5 * CHUNK + 1] ^= 1;
        damaged[2 * CHUNK + 9000] ^= 1;
        for (on_card, asked_for, expected) in [
            (&both, &image, (true, vec![], vec![])),
            (&damaged, &image, (true, vec![5 * MIB + 1], vec![2 * MIB])),
            // Somebody has written the image without the payload.
            (&image, &image, (true, vec![], vec![MIB, 2 * MIB, 4 * MIB])),
            // The payload belongs to the first image, and another one is asked for.
            (&other, &other, (false, vec![], vec![])),
        ] {
            let found = compare_with_payload(
                &FakeCard::with_content(on_card.clone(), Fault::None),
                asked_for,
                &payload,
            );
            assert_eq!(found, expected);
        }
    }

    #[track_caller]
    fn assert_fails(
        fault: Fault,
        changes: Vec<Change>,
        verify: &(dyn Fn() -> Result<()> + Sync),
        kind: ExitKind,
        text: &str,
    ) {
        let image = image(6 * MIB);
        let card = FakeCard::new(9 * MIB, fault);
        let payload = FixedPayload { changes, verify };
        let error = flash(&card, &image, &payload, &AtomicBool::new(false)).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(text) && message.contains("the first MiB of the card is blank"),
            "{message}"
        );
        assert_eq!(failure::kind(&error), kind, "{message}");
        assert!(card.head_is_blank());
    }

    #[test]
    fn a_payload_that_fails_leaves_a_blank_head() {
        let succeed = || Ok(());
        let fail = || Err(ExitKind::Verification.error("it is missing"));
        assert_fails(Fault::None, changes(), &fail, ExitKind::Verification, "it is missing");
        let outside = "which is outside the body of the image";
        for (at, len) in [(MIB - 1, 2), (6 * MIB - 1, 2), (7 * MIB, 1)] {
            let change = vec![Change { at, bytes: vec![1; len] }];
            assert_fails(Fault::None, change, &succeed, ExitKind::Other, outside);
        }
        let text = "the card does not hold the bytes written at byte 4194304, after 3 retries";
        // The first write there is that of the image, which verifies.
        let worn = Fault::FlippedAfter(4 * MIB + 5000, 1);
        assert_fails(worn, changes(), &succeed, ExitKind::Verification, text);
    }

    #[test]
    fn a_request_to_stop_is_the_cause_whatever_the_programs_report() {
        let image = image(6 * MIB);
        let card = FakeCard::new(9 * MIB, Fault::None);
        let cancel = AtomicBool::new(false);
        let verify = || {
            cancel.store(true, Ordering::Relaxed);
            Err(ExitKind::Other.error("a program ended with exit code 130"))
        };
        let payload = FixedPayload { changes: changes(), verify: &verify };
        let error = flash(&card, &image, &payload, &cancel).unwrap_err();
        assert_eq!(failure::kind(&error), ExitKind::Interrupted, "{error}");
        assert!(card.head_is_blank());
    }
}
