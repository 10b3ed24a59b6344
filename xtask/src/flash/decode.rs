//! A thread that decompresses and hashes ahead of the writer, with a fixed set of buffers.

use std::io::{ErrorKind, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use anyhow::{Result, anyhow};

use super::buffer::Buffer;
use crate::failure::Kind;

/// How many buffers there are, in MiB: enough to ride out a card's pauses, and little memory.
const BUFFERS: usize = 12;

/// A piece of the image, and its hash. All but the last one are full.
pub struct Chunk {
    pub bytes: Buffer,
    pub hash: blake3::Hash,
}

/// Hands the chunks of `stream` in order to `take`, which returns the buffer when it is done with it.
pub fn decode(stream: impl Read + Send, mut take: impl FnMut(Chunk) -> Result<Option<Buffer>>) -> Result<()> {
    let (full, chunks) = sync_channel(BUFFERS);
    let (back, empty) = channel();
    // One more than the ring has: the writer keeps the first chunk to the end.
    (0..=BUFFERS).try_for_each(|_| back.send(Buffer::zeroed())).map_err(|_| anyhow!("preparing buffers"))?;
    std::thread::scope(|scope| {
        let decoder = scope.spawn(move || fill(stream, &full, &empty));
        let taken = drain(&chunks, &back, &mut take);
        // Both ends are closed, so that a decoder that still waits sees that nobody listens.
        drop((chunks, back));
        let filled = decoder.join().map_err(|_| anyhow!("the decoder has panicked"))?;
        taken.and(filled)
    })
}

fn drain(
    chunks: &Receiver<Chunk>,
    back: &Sender<Buffer>,
    take: &mut impl FnMut(Chunk) -> Result<Option<Buffer>>,
) -> Result<()> {
    for chunk in chunks {
        if let Some(buffer) = take(chunk)? {
            // The decoder may have come to its end already; then nobody needs the buffer.
            let _ = back.send(buffer);
        }
    }
    Ok(())
}

fn fill(mut stream: impl Read, full: &SyncSender<Chunk>, empty: &Receiver<Buffer>) -> Result<()> {
    while let Ok(mut bytes) = empty.recv() {
        bytes.resize(super::buffer::CHUNK);
        let len = read_full(&mut stream, &mut bytes)?;
        let is_last = len < bytes.len();
        bytes.resize(len);
        let hash = blake3::hash(&bytes);
        if len > 0 && full.send(Chunk { bytes, hash }).is_err() || is_last {
            break;
        }
    }
    Ok(())
}

/// Fills `bytes` as far as the stream goes and returns how far that is.
fn read_full(stream: &mut impl Read, bytes: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match stream.read(&mut bytes[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Kind::Io.error(format!("reading the image: {error}"))),
        }
    }
    Ok(done)
}
