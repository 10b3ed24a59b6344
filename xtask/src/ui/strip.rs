//! The picture of a card in one line: what became of each part of the image.

use std::fmt;

use crate::base::{ChunkRun, ChunkState};

/// How wide the picture is, in characters; a small image takes less.
const WIDTH: usize = 64;

/// The picture, and what its characters mean.
pub struct Strip<'a>(pub &'a [ChunkRun]);

fn symbol(state: ChunkState) -> char {
    match state {
        ChunkState::Skipped => '·',
        ChunkState::Unchanged => '░',
        ChunkState::Written => '█',
        ChunkState::Payload => '▓',
        ChunkState::Healed => '+',
        ChunkState::Bad => '!',
    }
}

fn word(state: ChunkState) -> &'static str {
    match state {
        ChunkState::Skipped => "zeros already",
        ChunkState::Unchanged => "unchanged",
        ChunkState::Written => "written",
        ChunkState::Payload => "of the host itself",
        ChunkState::Healed => "written again",
        ChunkState::Bad => "wrong",
    }
}

impl Strip<'_> {
    /// Each cell shows the worst of what it stands for.
    fn cells(&self) -> Vec<ChunkState> {
        let states = self.0.iter().flat_map(|run| (0..run.mib).map(|_| run.state)).collect::<Vec<_>>();
        let width = WIDTH.min(states.len());
        let edge = |cell: usize| cell * states.len() / width.max(1);
        (0..width).filter_map(|cell| states[edge(cell)..edge(cell + 1)].iter().max().copied()).collect()
    }
}

impl fmt::Display for Strip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let picture = self.cells().into_iter().map(symbol).collect::<String>();
        let mut states = self.0.iter().map(|run| run.state).collect::<Vec<_>>();
        states.sort_unstable();
        states.dedup();
        let legend = states.into_iter().rev().map(|state| {
            let mib = self.0.iter().filter(|run| run.state == state).map(|run| run.mib).sum::<u64>();
            format!("{} {mib} MiB {}", symbol(state), word(state))
        });
        write!(f, "[{picture}]\n{:>10}  {}", "", legend.collect::<Vec<_>>().join("   "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: ChunkState, mib: u64) -> ChunkRun {
        ChunkRun { state, mib }
    }

    #[test]
    fn a_picture() {
        let runs = [
            run(ChunkState::Written, 1),
            run(ChunkState::Unchanged, 3),
            run(ChunkState::Skipped, 2),
            run(ChunkState::Bad, 1),
        ];
        let text = "[█░░░··!]\n            ! 1 MiB wrong   █ 1 MiB written   ░ 3 MiB unchanged   · 2 MiB zeros already";
        assert_eq!(Strip(&runs).to_string(), text);
        assert!(Strip(&[]).to_string().starts_with("[]"));
    }

    #[test]
    fn one_bad_part_of_a_large_card_is_seen() {
        let runs = [run(ChunkState::Skipped, 5000), run(ChunkState::Bad, 1), run(ChunkState::Written, 2999)];
        let cells = Strip(&runs).cells();
        assert_eq!((cells.len(), cells[40]), (WIDTH, ChunkState::Bad));
        assert_eq!((cells[0], cells[63]), (ChunkState::Skipped, ChunkState::Written));
    }
}
