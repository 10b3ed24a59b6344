//! The chunk map of a card as a strip of characters.

use std::fmt;

use super::charset::Charset;
use super::layout;
use crate::base::{ChunkRun, ChunkState};

/// The maximum width of the strip, in characters; the strip of a small image is shorter.
const MAX_WIDTH: usize = 64;
/// The column at which the strip and its legend begin: after the label `card` and its gap.
const INDENT: usize = 12;
/// The gap between two entries of the legend.
const GAP: &str = "   ";

/// Displays a chunk map as a strip with a legend, on lines of at most `width` columns beside a label.
pub struct ChunkStrip<'a> {
    pub runs: &'a [ChunkRun],
    pub width: usize,
    pub charset: Charset,
}

/// The character of `charset` that stands for chunks of `state` in the strip.
fn symbol(state: ChunkState, charset: Charset) -> char {
    let (unicode, ascii) = match state {
        ChunkState::Skipped => ('·', '.'),
        ChunkState::Unchanged => ('░', '='),
        ChunkState::Written => ('█', '#'),
        ChunkState::Payload => ('▓', '@'),
        ChunkState::Healed => ('+', '+'),
        ChunkState::Bad => ('!', '!'),
    };
    if charset == Charset::Unicode { unicode } else { ascii }
}

/// The words for `state` in the legend.
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

impl<'a> ChunkStrip<'a> {
    /// The strip for the terminal behind stderr, in the characters of the locale.
    pub fn for_stderr(runs: &'a [ChunkRun]) -> Self {
        Self { runs, width: layout::width(), charset: Charset::of_locale() }
    }

    /// The cells of the strip; each has the worst state of its chunks.
    fn cells(&self) -> Vec<ChunkState> {
        let chunks = self.runs.iter().flat_map(|run| (0..run.mib).map(|_| run.state)).collect::<Vec<_>>();
        let max_width = self.width.saturating_sub(INDENT + "[]".len()).clamp(1, MAX_WIDTH);
        let width = max_width.min(chunks.len());
        let first_chunk = |cell: usize| cell * chunks.len() / width;
        let chunks_of = |cell: usize| &chunks[first_chunk(cell)..first_chunk(cell + 1)];
        (0..width).filter_map(|cell| chunks_of(cell).iter().max().copied()).collect()
    }

    /// The lines of the legend, the worst state first.
    fn legend(&self) -> Vec<String> {
        let mut states = self.runs.iter().map(|run| run.state).collect::<Vec<_>>();
        states.sort_unstable();
        states.dedup();
        let max_width = self.width.saturating_sub(INDENT);
        let mut lines = vec![String::new()];
        for state in states.into_iter().rev() {
            let mib = self.runs.iter().filter(|run| run.state == state).map(|run| run.mib).sum::<u64>();
            let entry = format!("{} {mib} MiB {}", symbol(state, self.charset), label(state));
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(&entry),
                Some(line) if line.chars().count() + GAP.len() + entry.chars().count() <= max_width => {
                    line.push_str(GAP);
                    line.push_str(&entry);
                }
                _ => lines.push(entry),
            }
        }
        lines
    }
}

impl fmt::Display for ChunkStrip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strip = self.cells().into_iter().map(|state| symbol(state, self.charset)).collect::<String>();
        write!(f, "[{strip}]")?;
        self.legend().iter().try_for_each(|line| write!(f, "\n{:INDENT$}{line}", ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: ChunkState, mib: u64) -> ChunkRun {
        ChunkRun { state, mib }
    }

    fn strip(runs: &[ChunkRun], width: usize) -> ChunkStrip<'_> {
        ChunkStrip { runs, width, charset: Charset::Unicode }
    }

    #[test]
    fn the_strip_of_a_locale_without_unicode_is_ascii() {
        let states = [
            ChunkState::Skipped,
            ChunkState::Unchanged,
            ChunkState::Written,
            ChunkState::Payload,
            ChunkState::Healed,
            ChunkState::Bad,
        ];
        let runs = states.map(|state| run(state, 1));
        let text = ChunkStrip { charset: Charset::Ascii, ..strip(&runs, 80) }.to_string();
        let legend = "[.=#@+!]\n            ! 1 MiB failed   + 1 MiB rewritten   @ 1 MiB with payload\n            \
            # 1 MiB written   = 1 MiB unchanged   . 1 MiB zeros";
        assert_eq!(text, legend);
    }

    #[test]
    fn no_line_is_longer_than_its_terminal() {
        let mut runs = [ChunkState::Skipped, ChunkState::Unchanged, ChunkState::Written, ChunkState::Payload]
            .map(|state| run(state, 99_999))
            .to_vec();
        runs.extend([run(ChunkState::Healed, 3), run(ChunkState::Bad, 1)]);
        for width in 40..120 {
            let text = format!("{:>10}  {}", "card", strip(&runs, width));
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width, "{width}: {text}");
        }
    }

    #[test]
    fn a_strip_is_followed_by_its_legend() {
        let runs = [
            run(ChunkState::Written, 1),
            run(ChunkState::Unchanged, 3),
            run(ChunkState::Skipped, 2),
            run(ChunkState::Bad, 1),
        ];
        let text =
            "[█░░░··!]\n            ! 1 MiB failed   █ 1 MiB written   ░ 3 MiB unchanged   · 2 MiB zeros";
        assert_eq!(strip(&runs, 80).to_string(), text);
        assert!(strip(&[], 80).to_string().starts_with("[]"));
    }

    #[test]
    fn one_bad_chunk_of_a_large_card_is_visible() {
        let runs = [run(ChunkState::Skipped, 5000), run(ChunkState::Bad, 1), run(ChunkState::Written, 2999)];
        let cells = strip(&runs, 80).cells();
        assert_eq!((cells.len(), cells[40]), (MAX_WIDTH, ChunkState::Bad));
        assert_eq!((cells[0], cells[63]), (ChunkState::Skipped, ChunkState::Written));
    }
}
