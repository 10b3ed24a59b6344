//! Chunks on their way: a thread fetches them (decompresses the image, or reads the card), and the caller
//! hashes and takes them in order. The set of buffers is fixed and goes round, so nothing is allocated per
//! chunk, and whoever is ahead waits.
//!
//! On a fast card the decompression is what is waited for, on a slow one the card: hashing on the caller's
//! side costs time on neither.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use anyhow::{Context, Result, anyhow};

use super::buffer::Buffer;
use crate::card::image::chunk_hash::{CHUNK, ChunkHash};

/// How many buffers go round, each of 1 MiB. More of them do not fit into a processor's caches, and a card is either slower than the decompression, and waited for anyhow, or faster.
const BUFFERS: usize = 3;

/// A piece of an image. All but the last one of an image are full.
pub struct Chunk {
    /// Where it begins, in bytes: a multiple of [`CHUNK`].
    pub at: u64,
    pub bytes: Buffer,
    pub hash: ChunkHash,
    /// Whether all its bytes are zero.
    pub zeros: bool,
}

/// Hands on, in order, what `fetch` puts into the buffer that it is given and tells the place of; none is
/// the end. `take` returns the buffer when it is done with it.
///
/// # Errors
/// Those of `take` first: what `fetch` says when nobody listens any more is of no interest.
pub fn run(
    fetch: impl FnMut(&mut Buffer) -> Result<Option<u64>> + Send,
    mut take: impl FnMut(Chunk) -> Result<Option<Buffer>>,
) -> Result<()> {
    let (fetched, chunks) = sync_channel(BUFFERS);
    let (back, empty) = channel();
    // One more than go round: the caller may keep one to the end.
    for _ in 0..=BUFFERS {
        back.send(Buffer::zeroed()?).map_err(|_| anyhow!("preparing buffers"))?;
    }
    std::thread::scope(|scope| {
        let fetcher = std::thread::Builder::new().spawn_scoped(scope, move || fill(fetch, &fetched, &empty));
        let fetcher = fetcher.context("starting a thread")?;
        let taken = drain(&chunks, &back, &mut take);
        // Both ends are closed, so that a thread that still waits sees that nobody listens.
        drop((chunks, back));
        let filled = fetcher.join().map_err(|_| anyhow!("the thread that fetches has panicked"))?;
        taken.and(filled)
    })
}

fn fill(
    mut fetch: impl FnMut(&mut Buffer) -> Result<Option<u64>>,
    fetched: &SyncSender<(u64, Buffer)>,
    empty: &Receiver<Buffer>,
) -> Result<()> {
    while let Ok(mut bytes) = empty.recv() {
        bytes.resize(CHUNK);
        let Some(at) = fetch(&mut bytes)? else { break };
        if fetched.send((at, bytes)).is_err() {
            break;
        }
    }
    Ok(())
}

fn drain(
    chunks: &Receiver<(u64, Buffer)>,
    back: &Sender<Buffer>,
    take: &mut impl FnMut(Chunk) -> Result<Option<Buffer>>,
) -> Result<()> {
    let of_zeros = ChunkHash::of(&Buffer::zeroed()?);
    for (at, bytes) in chunks {
        let zeros = all_zero(&bytes);
        let hash = if zeros && bytes.len() == CHUNK { of_zeros } else { ChunkHash::of(&bytes) };
        if let Some(buffer) = take(Chunk { at, bytes, hash, zeros })? {
            // The fetcher may have come to its end already; then nobody needs the buffer.
            let _ = back.send(buffer);
        }
    }
    Ok(())
}

/// Whether there is nothing but zeros. Compares the bytes with themselves, one place on: that runs at the
/// speed of `memcmp`.
pub fn all_zero(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| *first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros() {
        for (bytes, expected) in [(&[][..], true), (&[0], true), (&[0, 0, 0], true), (&[0, 0, 1], false)] {
            assert_eq!(all_zero(bytes), expected, "{bytes:?}");
        }
        assert!(!all_zero(&[7, 7]));
    }

    /// Fetches `count` chunks, each full of its own number.
    fn numbered(count: u8) -> impl FnMut(&mut Buffer) -> Result<Option<u64>> + Send {
        let mut next = 0;
        move |buffer| {
            buffer.fill(next);
            next += 1;
            Ok((next <= count).then(|| u64::from(next - 1) * CHUNK as u64))
        }
    }

    #[test]
    fn chunks_come_in_order() {
        let mut seen = Vec::new();
        let take = |chunk: Chunk| {
            seen.push((chunk.at / CHUNK as u64, chunk.bytes[5], chunk.zeros));
            Ok(Some(chunk.bytes))
        };
        run(numbered(40), take).unwrap();
        assert_eq!(seen, (0..40).map(|n| (u64::from(n), n, n == 0)).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_ends_it() {
        let error = run(numbered(90), |_| Err(anyhow!("enough"))).unwrap_err();
        assert_eq!(error.to_string(), "enough");
        let error = run(|_| Err(anyhow!("no more")), |chunk| Ok(Some(chunk.bytes))).unwrap_err();
        assert_eq!(error.to_string(), "no more");
    }
}
