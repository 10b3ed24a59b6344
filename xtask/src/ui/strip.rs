//! The picture of a card in one line: what became of each part of the image.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was done for one MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// All zeros, and the card held zeros: read, not written.
    Skipped,
    /// The card held it already: read, not written.
    Unchanged,
    /// Written and read back.
    Written,
    /// Written with what belongs to the host beside what the image has there, and read back.
    Added,
    /// Read back otherwise than it was written, written again, and then right.
    Healed,
    /// Does not hold what was written, however often.
    Bad,
}

/// So many MiB in a row that share a fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub fate: Fate,
    pub mib: u64,
}

/// How wide the picture is, in characters; a small image takes less.
const WIDTH: usize = 64;

/// The picture, and what its characters mean.
pub struct Strip<'a>(pub &'a [Run]);

impl Fate {
    fn symbol(self) -> char {
        match self {
            Self::Skipped => '·',
            Self::Unchanged => '░',
            Self::Written => '█',
            Self::Added => '▓',
            Self::Healed => '+',
            Self::Bad => '!',
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Skipped => "zeros already",
            Self::Unchanged => "unchanged",
            Self::Written => "written",
            Self::Added => "of the host itself",
            Self::Healed => "written again",
            Self::Bad => "wrong",
        }
    }
}

impl Strip<'_> {
    /// Each cell shows the worst of what it stands for.
    fn cells(&self) -> Vec<Fate> {
        let fates = self.0.iter().flat_map(|run| (0..run.mib).map(|_| run.fate)).collect::<Vec<_>>();
        let width = WIDTH.min(fates.len());
        let edge = |cell: usize| cell * fates.len() / width.max(1);
        (0..width).filter_map(|cell| fates[edge(cell)..edge(cell + 1)].iter().max().copied()).collect()
    }
}

impl fmt::Display for Strip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let picture = self.cells().into_iter().map(Fate::symbol).collect::<String>();
        let mut fates = self.0.iter().map(|run| run.fate).collect::<Vec<_>>();
        fates.sort_unstable();
        fates.dedup();
        let legend = fates.into_iter().rev().map(|fate| {
            let mib = self.0.iter().filter(|run| run.fate == fate).map(|run| run.mib).sum::<u64>();
            format!("{} {mib} MiB {}", fate.symbol(), fate.word())
        });
        write!(f, "[{picture}]\n{:>10}  {}", "", legend.collect::<Vec<_>>().join("   "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(fate: Fate, mib: u64) -> Run {
        Run { fate, mib }
    }

    #[test]
    fn a_picture() {
        let runs = [run(Fate::Written, 1), run(Fate::Unchanged, 3), run(Fate::Skipped, 2), run(Fate::Bad, 1)];
        let text = "[█░░░··!]\n            ! 1 MiB wrong   █ 1 MiB written   ░ 3 MiB unchanged   · 2 MiB zeros already";
        assert_eq!(Strip(&runs).to_string(), text);
        assert!(Strip(&[]).to_string().starts_with("[]"));
    }

    #[test]
    fn one_bad_part_of_a_large_card_is_seen() {
        let runs = [run(Fate::Skipped, 5000), run(Fate::Bad, 1), run(Fate::Written, 2999)];
        let cells = Strip(&runs).cells();
        assert_eq!((cells.len(), cells[40]), (WIDTH, Fate::Bad));
        assert_eq!((cells[0], cells[63]), (Fate::Skipped, Fate::Written));
    }
}
