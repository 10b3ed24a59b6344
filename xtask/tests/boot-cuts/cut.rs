//! Power cuts, made offline: the card then has all writes before the last flush, and all or a random part of the later
//! ones.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tempfile::TempPath;

use crate::guest::card::{lab, run};
use crate::recording::Write;

/// A copy of a card, to which the writes before a cut are applied.
pub struct Card {
    pub path: TempPath,
    pub file: File,
}

/// Bytes of the card before a write.
struct Overwritten {
    offset: u64,
    bytes: Vec<u8>,
}

impl Card {
    /// Copies the card `base`.
    fn new(base: &Path) -> Self {
        let path = lab().new_file();
        run("cp", &["--sparse=always", base.to_str().unwrap(), path.to_str().unwrap()]);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        Self { path, file }
    }

    /// Applies `writes`, and returns the overwritten bytes for [`Self::undo`].
    fn apply<'a>(&self, writes: impl IntoIterator<Item = &'a Write>) -> Vec<Overwritten> {
        let mut overwritten = Vec::new();
        for write in writes {
            let mut bytes = vec![0; write.data.len()];
            self.file.read_exact_at(&mut bytes, write.offset).unwrap();
            self.file.write_all_at(&write.data, write.offset).unwrap();
            overwritten.push(Overwritten { offset: write.offset, bytes });
        }
        overwritten
    }

    /// Restores the bytes that [`Self::apply`] has overwritten.
    fn undo(&self, overwritten: Vec<Overwritten>) {
        for Overwritten { offset, bytes } in overwritten.into_iter().rev() {
            self.file.write_all_at(&bytes, offset).unwrap();
        }
    }
}

/// A deterministic random number generator (xorshift64).
struct Random(u64);

impl Random {
    /// True in half of the calls.
    fn coin(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 1 == 0
    }
}

/// Cuts the power after each of `writes` to the card `base`: in round 0 without a loss, then in each of `rounds` with
/// the loss of a random half of the unflushed writes. A round in which chance loses none of them is left out. `inspect`
/// gets the number of the write, the round, and the card after the cut.
pub fn cut_everywhere(
    base: &Path,
    writes: &[Write],
    rounds: u32,
    mut inspect: impl FnMut(usize, u32, &Card),
) {
    let card = Card::new(base);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut unflushed: Vec<&Write> = Vec::new();
    for (number, write) in writes.iter().enumerate() {
        unflushed.push(write);
        for round in 0..=rounds {
            let kept = unflushed.iter().copied().filter(|_| round == 0 || random.coin()).collect::<Vec<_>>();
            if round > 0 && kept.len() == unflushed.len() {
                continue;
            }
            let overwritten = card.apply(kept);
            inspect(number, round, &card);
            card.undo(overwritten);
        }
        if write.flushes {
            card.apply(unflushed.drain(..));
        }
    }
}
