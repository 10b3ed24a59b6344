//! Hashing a stream while it is read.

use std::collections::BTreeSet;
use std::io::{Read, Result};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::Sum;
use super::algorithm::Algorithm;
use super::digest::Digest;

/// The number of reads that may wait to be hashed.
const MAX_WAITING_READS: usize = 8;

/// The digests of several algorithms, of the same bytes.
pub struct Hashers(Vec<(Algorithm, Digest)>);

impl Hashers {
    fn new(algorithms: &BTreeSet<Algorithm>) -> Self {
        Self(algorithms.iter().map(|algorithm| (*algorithm, algorithm.digest())).collect())
    }

    fn update(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|(_, digest)| digest.update(bytes));
    }

    /// The sums of all bytes, one for each algorithm.
    fn finish(self) -> Vec<Sum> {
        self.0.into_iter().map(|(algorithm, digest)| Sum::new(algorithm, &digest.finish())).collect()
    }
}

/// A hasher in a thread of its own, where one can be started.
pub enum Hasher {
    /// In a thread of its own, which `sender` gives the bytes.
    Thread { sender: SyncSender<Vec<u8>>, thread: JoinHandle<Vec<Sum>> },
    /// In the reading thread.
    Inline(Hashers),
}

impl Hasher {
    /// Starts to hash with `algorithms`.
    pub fn start(algorithms: &BTreeSet<Algorithm>) -> Self {
        let (sender, receiver) = sync_channel::<Vec<u8>>(MAX_WAITING_READS);
        let mut hashers = Hashers::new(algorithms);
        let hash = move || {
            for bytes in receiver {
                hashers.update(&bytes);
            }
            hashers.finish()
        };
        match std::thread::Builder::new().spawn(hash) {
            Ok(thread) => Self::Thread { sender, thread },
            Err(_) => Self::Inline(Hashers::new(algorithms)),
        }
    }

    /// Hashes the next `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            // After a panic of the thread there are no sums, and then no expected sum is found.
            Self::Thread { sender, .. } => drop(sender.send(bytes.to_vec())),
            Self::Inline(hashers) => hashers.update(bytes),
        }
    }

    /// The sums of all bytes; none after a panic of the thread.
    pub fn finish(self) -> Vec<Sum> {
        match self {
            Self::Thread { sender, thread } => {
                drop(sender);
                thread.join().unwrap_or_default()
            }
            Self::Inline(hashers) => hashers.finish(),
        }
    }
}

/// A reader that passes the bytes on and hashes them in a thread of its own, so that decompression need not wait for
/// the hash.
pub struct HashingReader<R> {
    inner: R,
    /// `None` where there is no algorithm.
    hasher: Option<Hasher>,
}

impl<R> HashingReader<R> {
    /// Reads `inner`, and hashes its bytes with `algorithms`.
    pub fn new(inner: R, algorithms: &BTreeSet<Algorithm>) -> Self {
        let hasher = (!algorithms.is_empty()).then(|| Hasher::start(algorithms));
        Self { inner, hasher }
    }

    /// The sums of all bytes that were read; none without an algorithm, and after a panic of the thread.
    pub fn finish(self) -> Vec<Sum> {
        self.hasher.map(Hasher::finish).unwrap_or_default()
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_are_read_are_hashed() {
        let algorithms = BTreeSet::from([Algorithm::Md5, Algorithm::Sha256]);
        let mut reader = HashingReader::new(&b"abc"[..], &algorithms);
        let mut passed = Vec::new();
        reader.read_to_end(&mut passed).unwrap();
        assert_eq!(passed, b"abc");
        let sums = reader.finish().into_iter().map(|sum| sum.hex).collect::<Vec<_>>();
        let abc = [
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "900150983cd24fb0d6963f7d28e17f72",
        ];
        assert_eq!(sums, abc);
        assert_eq!(HashingReader::new(&b"abc"[..], &BTreeSet::new()).finish(), []);
    }
}
