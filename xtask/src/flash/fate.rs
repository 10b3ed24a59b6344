//! What became of each MiB of the image, for the picture of the card and for the numbers that matter.

use super::buffer::CHUNK;
use crate::ui::{Fate, Run};

/// The chunks of the image in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fates(Vec<Fate>);

impl Fates {
    pub fn push(&mut self, fate: Fate) {
        self.0.push(fate);
    }

    /// Changes the fate of the chunk at byte `at`.
    pub fn set(&mut self, at: u64, fate: Fate) {
        if let Some(known) = usize::try_from(at / CHUNK as u64).ok().and_then(|index| self.0.get_mut(index)) {
            *known = fate;
        }
    }

    pub fn runs(&self) -> Vec<Run> {
        let runs = self.0.chunk_by(|left, right| left == right);
        runs.map(|run| Run { fate: run[0], mib: run.len() as u64 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_share_a_fate_are_one_run() {
        let mut fates = Fates::default();
        for fate in [Fate::Written, Fate::Written, Fate::Skipped, Fate::Written] {
            fates.push(fate);
        }
        fates.set(CHUNK as u64, Fate::Healed);
        let runs = fates.runs().into_iter().map(|run| (run.fate, run.mib)).collect::<Vec<_>>();
        assert_eq!(runs, [(Fate::Written, 1), (Fate::Healed, 1), (Fate::Skipped, 1), (Fate::Written, 1)]);
    }
}
