//! Power cuts, made offline: all that was flushed before is on the card, and a random part of the rest.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tempfile::TempPath;

use crate::guest::card::{lab, run};
use crate::recording::Write;

/// A copy of a card, on which cuts are made.
pub struct Card {
    pub path: TempPath,
    pub file: File,
}

impl Card {
    fn new(base: &Path) -> Self {
        let path = lab().new_file();
        run("cp", &["--sparse=always", base.to_str().unwrap(), path.to_str().unwrap()]);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        Self { path, file }
    }

    /// Writes `writes`, and returns what was there before, for [`Self::undo`].
    fn apply<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) -> Vec<(u64, Vec<u8>)> {
        let mut before = Vec::new();
        for write in writes {
            let mut old = vec![0; write.data.len()];
            self.file.read_exact_at(&mut old, write.at).unwrap();
            self.file.write_all_at(&write.data, write.at).unwrap();
            before.push((write.at, old));
        }
        before
    }

    fn undo(&self, before: Vec<(u64, Vec<u8>)>) {
        for (at, old) in before.into_iter().rev() {
            self.file.write_all_at(&old, at).unwrap();
        }
    }
}

/// Pseudo-random numbers, the same in each run (xorshift64).
struct Random(u64);

impl Random {
    fn coin(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 1 == 0
    }
}

/// Cuts the power after each of `writes` to the card `base`: first without a loss, then `rounds` times with a random
/// half of what was not flushed lost. `look` gets the number of the write, the round, and the card as the cut leaves
/// it.
pub fn cut_everywhere(base: &Path, writes: &[Write], rounds: u32, mut look: impl FnMut(usize, u32, &Card)) {
    let card = Card::new(base);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut pending: Vec<&Write> = Vec::new();
    for (number, write) in writes.iter().enumerate() {
        pending.push(write);
        for round in 0..=rounds {
            let kept = pending.iter().copied().filter(|_| round == 0 || random.coin()).collect::<Vec<_>>();
            if round > 0 && kept.len() == pending.len() {
                continue;
            }
            let before = card.apply(kept);
            look(number, round, &card);
            card.undo(before);
        }
        if write.flushes {
            card.apply(pending.drain(..));
        }
    }
}
