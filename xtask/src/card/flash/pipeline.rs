//! The chunk pipeline: a thread fetches chunks (decompresses the image, or reads the card), and the caller hashes and
//! consumes them in order. A fixed set of buffers circulates, so no chunk allocates memory, and the faster side waits
//! for the slower one.
//!
//! With a fast card the decompression is the bottleneck, with a slow card the card is. Hashing in the caller's thread
//! delays neither.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use anyhow::{Context, Result, anyhow};

use super::buffer::Buffer;
use crate::base::is_all_zero;
use crate::card::image::chunk_hash::{CHUNK, ChunkHash};

/// How many buffers of 1 MiB circulate. More do not fit into a processor's caches. More would not help either: where
/// the card is slower than the decompression, the pipeline waits for the card anyhow, and where it is faster, the
/// pipeline waits for the decompression.
const BUFFERS: usize = 3;

/// A chunk of an image. All chunks of an image but the last one are full.
pub struct Chunk {
    /// The first byte of the chunk in the image: a multiple of [`CHUNK`].
    pub at: u64,
    pub bytes: Buffer,
    pub hash: ChunkHash,
    /// Whether all bytes are zero.
    pub is_zero: bool,
}

/// Calls `fetch` in a thread of its own, and `consume` with each chunk in order. `fetch` fills the buffer that it gets
/// and returns the position of the chunk in bytes, or `None` at the end. `consume` returns the buffer unless it keeps
/// it; it may keep one.
///
/// # Errors
/// Those of `consume` first; an error of `fetch` that comes later is only its consequence.
pub fn run(
    fetch: impl FnMut(&mut Buffer) -> Result<Option<u64>> + Send,
    mut consume: impl FnMut(Chunk) -> Result<Option<Buffer>>,
) -> Result<()> {
    let (fetched, chunks) = sync_channel(BUFFERS);
    let (returned, empty) = channel();
    // One buffer more than circulate, because `consume` may keep one.
    for _ in 0..=BUFFERS {
        returned.send(Buffer::zeroed()?).map_err(|_| anyhow!("preparing buffers"))?;
    }
    std::thread::scope(|scope| {
        let spawned =
            std::thread::Builder::new().spawn_scoped(scope, move || fetch_all(fetch, &fetched, &empty));
        let fetcher = spawned.context("starting a thread")?;
        let consumed = consume_all(&chunks, &returned, &mut consume);
        // Closing both channels wakes a fetcher that still waits, and ends it.
        drop((chunks, returned));
        let fetch_result = fetcher.join().map_err(|_| anyhow!("the fetching thread panicked"))?;
        consumed.and(fetch_result)
    })
}

/// Fills the `empty` buffers by `fetch` and sends them, until `fetch` ends or nobody receives any more.
fn fetch_all(
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

/// Hashes the fetched `chunks`, passes them to `consume`, and returns their buffers.
fn consume_all(
    chunks: &Receiver<(u64, Buffer)>,
    returned: &Sender<Buffer>,
    consume: &mut impl FnMut(Chunk) -> Result<Option<Buffer>>,
) -> Result<()> {
    let hash_of_zeros = ChunkHash::of(&Buffer::zeroed()?);
    for (at, bytes) in chunks {
        let is_zero = is_all_zero(&bytes);
        let hash = if is_zero && bytes.len() == CHUNK { hash_of_zeros } else { ChunkHash::of(&bytes) };
        if let Some(buffer) = consume(Chunk { at, bytes, hash, is_zero })? {
            // The fetcher may have ended already; then nobody needs the buffer.
            let _ = returned.send(buffer);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fetches `count` chunks; every byte of a chunk is its number.
    fn fetch_numbered(count: u8) -> impl FnMut(&mut Buffer) -> Result<Option<u64>> + Send {
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
        let consume = |chunk: Chunk| {
            seen.push((chunk.at / CHUNK as u64, chunk.bytes[5], chunk.is_zero));
            Ok(Some(chunk.bytes))
        };
        run(fetch_numbered(40), consume).unwrap();
        assert_eq!(seen, (0..40).map(|n| (u64::from(n), n, n == 0)).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_of_either_side_ends_the_pipeline() {
        let error = run(fetch_numbered(90), |_| Err(anyhow!("enough"))).unwrap_err();
        assert_eq!(error.to_string(), "enough");
        let error = run(|_| Err(anyhow!("no more")), |chunk| Ok(Some(chunk.bytes))).unwrap_err();
        assert_eq!(error.to_string(), "no more");
    }
}
