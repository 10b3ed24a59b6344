//! The chunk map of a card as a strip of characters.

use std::fmt;

use crate::base::{ChunkRun, ChunkState};

/// The maximum width of the strip, in characters; the strip of a small image is shorter.
const MAX_WIDTH: usize = 64;

/// Displays a chunk map as a strip with a legend.
pub struct ChunkStrip<'a>(pub &'a [ChunkRun]);

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

fn label(state: ChunkState) -> &'static str {
    match state {
        ChunkState::Skipped => "zeros",
        ChunkState::Unchanged => "unchanged",
        ChunkState::Written => "written",
        ChunkState::Payload => "with payload",
        ChunkState::Healed => "rewritten",
        ChunkState::Bad => "failed",
    }
}

impl ChunkStrip<'_> {
    /// The cells of the strip; each has the worst state of its chunks.
    fn cells(&self) -> Vec<ChunkState> {
        let states = self.0.iter().flat_map(|run| (0..run.mib).map(|_| run.state)).collect::<Vec<_>>();
        let width = MAX_WIDTH.min(states.len());
        let edge = |cell: usize| cell * states.len() / width.max(1);
        (0..width).filter_map(|cell| states[edge(cell)..edge(cell + 1)].iter().max().copied()).collect()
    }
}

impl fmt::Display for ChunkStrip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strip = self.cells().into_iter().map(symbol).collect::<String>();
        let mut states = self.0.iter().map(|run| run.state).collect::<Vec<_>>();
        states.sort_unstable();
        states.dedup();
        let legend = states.into_iter().rev().map(|state| {
            let mib = self.0.iter().filter(|run| run.state == state).map(|run| run.mib).sum::<u64>();
            format!("{} {mib} MiB {}", symbol(state), label(state))
        });
        write!(f, "[{strip}]\n{:>10}  {}", "", legend.collect::<Vec<_>>().join("   "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: ChunkState, mib: u64) -> ChunkRun {
        ChunkRun { state, mib }
    }

    #[test]
    fn a_strip_with_its_legend() {
        let runs = [
            run(ChunkState::Written, 1),
            run(ChunkState::Unchanged, 3),
            run(ChunkState::Skipped, 2),
            run(ChunkState::Bad, 1),
        ];
        let text =
            "[█░░░··!]\n            ! 1 MiB failed   █ 1 MiB written   ░ 3 MiB unchanged   · 2 MiB zeros";
        assert_eq!(ChunkStrip(&runs).to_string(), text);
        assert!(ChunkStrip(&[]).to_string().starts_with("[]"));
    }

    #[test]
    fn one_bad_chunk_of_a_large_card_is_visible() {
        let runs = [run(ChunkState::Skipped, 5000), run(ChunkState::Bad, 1), run(ChunkState::Written, 2999)];
        let cells = ChunkStrip(&runs).cells();
        assert_eq!((cells.len(), cells[40]), (MAX_WIDTH, ChunkState::Bad));
        assert_eq!((cells[0], cells[63]), (ChunkState::Skipped, ChunkState::Written));
    }
}
