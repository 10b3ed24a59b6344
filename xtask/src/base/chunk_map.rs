//! The chunk map of a card: the state of each MiB of the image on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The size of a chunk in bytes.
const CHUNK: u64 = 1 << 20;

/// What was done for one chunk, in the order of severity: a cell of the printed strip has the highest state of its
/// chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChunkState {
    /// All zeros, and the card already held zeros: read, not written.
    Skipped,
    /// The card already held the chunk: read, not written.
    Unchanged,
    /// Written and read back.
    Written,
    /// Written with the payload merged into the chunk of the image, and read back.
    Payload,
    /// The first read-back differed; written again, and verified.
    Healed,
    /// The read-back still differs after all retries.
    Bad,
}

/// Consecutive chunks in the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChunkRun {
    pub state: ChunkState,
    pub mib: u64,
}

/// The states of all chunks of an image, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkMap(Vec<ChunkState>);

impl ChunkMap {
    /// Appends the state of the next chunk.
    pub fn push(&mut self, state: ChunkState) {
        self.0.push(state);
    }

    /// Sets the state of the chunk at byte `at` of the image. Where the map has no such chunk, nothing changes.
    pub fn set(&mut self, at: u64, state: ChunkState) {
        let index = usize::try_from(at / CHUNK).ok();
        if let Some(current) = index.and_then(|index| self.0.get_mut(index)) {
            *current = state;
        }
    }

    /// The map as runs of equal neighbours, in order.
    pub fn runs(&self) -> Vec<ChunkRun> {
        let runs = self.0.chunk_by(|left, right| left == right);
        runs.map(|run| ChunkRun { state: run[0], mib: run.len() as u64 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_the_same_state_are_one_run() {
        let mut map = ChunkMap::default();
        for state in [ChunkState::Written, ChunkState::Written, ChunkState::Skipped, ChunkState::Written] {
            map.push(state);
        }
        map.set(CHUNK, ChunkState::Healed);
        let runs = map.runs().into_iter().map(|run| (run.state, run.mib)).collect::<Vec<_>>();
        let expected = [
            (ChunkState::Written, 1),
            (ChunkState::Healed, 1),
            (ChunkState::Skipped, 1),
            (ChunkState::Written, 1),
        ];
        assert_eq!(runs, expected);
    }

    #[test]
    fn a_run_is_an_object() {
        let run = ChunkRun { state: ChunkState::Healed, mib: 2 };
        assert_eq!(serde_json::to_string(&run).unwrap(), r#"{"state":"healed","mib":2}"#);
    }
}
