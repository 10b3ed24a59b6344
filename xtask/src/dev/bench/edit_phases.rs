//! The phases of `bench edit`, and their costs.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

use super::samples::median;
use crate::base::bounded::{self, Links};
use crate::base::process::Cost;

/// The size of the largest file of phases that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// A phase between the change of a host and its card, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The assembler as a whole, where it notes no phases of its own.
    Assemble,
    /// The assembler lists the files and orders them.
    List,
    /// The assembler makes FIRMWARE.
    Firmware,
    /// The assembler makes `NIXOS_SD`.
    Root,
    /// The assembler compresses the image.
    Compress,
    /// Nix hashes the image.
    Register,
    /// The tool checks the image.
    Check,
    /// The tool writes the card and verifies it.
    Flash,
}

/// The cost of one phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseCost {
    phase: Phase,
    seconds: f64,
    cpu_seconds: f64,
}

/// The cost of one phase: medians over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MedianPhase {
    pub phase: Phase,
    pub seconds: f64,
    pub cpu_seconds: f64,
}

impl Phase {
    pub const ALL: &[Self] = &[
        Self::Assemble,
        Self::List,
        Self::Firmware,
        Self::Root,
        Self::Compress,
        Self::Register,
        Self::Check,
        Self::Flash,
    ];

    /// The phase with this cost.
    pub fn costs(self, cost: &Cost) -> PhaseCost {
        PhaseCost { phase: self, seconds: cost.seconds, cpu_seconds: cost.cpu_seconds }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Assemble => "assemble",
            Self::List => "list",
            Self::Firmware => "firmware",
            Self::Root => "root",
            Self::Compress => "compress",
            Self::Register => "register",
            Self::Check => "check",
            Self::Flash => "flash",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The phases of an assembly of this `cost`, which has noted them in `file`; one phase where the file is missing.
pub fn of_assembly(file: &Path, cost: &Cost) -> Result<Vec<PhaseCost>> {
    if !file.exists() {
        return Ok(vec![Phase::Assemble.costs(cost)]);
    }
    let bytes = bounded::read(file, MAX_FILE, Links::Refuse)?;
    let ends = parse_ends(&String::from_utf8_lossy(&bytes))
        .with_context(|| format!("reading {}", file.display()))?;
    let end = ends.last().map_or(0.0, |end| end.seconds);
    // The assembler ends with its last phase.
    let mut before = PhaseCost { phase: Phase::Assemble, seconds: end - cost.seconds, cpu_seconds: 0.0 };
    let mut phases = Vec::new();
    for end in ends {
        let seconds = end.seconds - before.seconds;
        let cpu_seconds = end.cpu_seconds - before.cpu_seconds;
        phases.push(PhaseCost { phase: end.phase, seconds, cpu_seconds });
        before = end;
    }
    Ok(phases)
}

/// The ends of the phases in `text`: three lines each, as the assembler writes them.
fn parse_ends(text: &str) -> Result<Vec<PhaseCost>> {
    let lines = text.lines().collect::<Vec<_>>();
    let ends = lines.chunks(3).map(|lines| {
        let (name, seconds) = lines.first()?.split_once(' ')?;
        let phase = *Phase::ALL.iter().find(|phase| phase.name() == name)?;
        let times = lines.get(1..3)?.iter().flat_map(|line| line.split_whitespace());
        let cpu_seconds = times.map(parse_minutes).sum::<Option<f64>>()?;
        Some(PhaseCost { phase, seconds: seconds.parse().ok()?, cpu_seconds })
    });
    ends.collect::<Option<_>>().context("it has no phases of the assembler")
}

/// Parses a time as `times` prints it, such as `1m2.500s`.
fn parse_minutes(text: &str) -> Option<f64> {
    let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
    Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
}

/// The medians of each phase in these `rounds`, which have the same phases.
pub fn medians(rounds: &[Vec<PhaseCost>]) -> Vec<MedianPhase> {
    let phases = rounds.first().into_iter().flatten().map(|cost| cost.phase);
    let median_of = |phase: Phase, read: fn(&PhaseCost) -> f64| {
        let costs = rounds.iter().flatten().filter(|cost| cost.phase == phase);
        median(costs.map(read).collect()).unwrap_or(f64::NAN)
    };
    let of_phase = |phase| MedianPhase {
        phase,
        seconds: median_of(phase, |cost| cost.seconds),
        cpu_seconds: median_of(phase, |cost| cost.cpu_seconds),
    };
    phases.map(of_phase).collect()
}

/// The sums of the seconds and of the CPU seconds of all `phases`.
pub fn sums(phases: &[MedianPhase]) -> [f64; 2] {
    [phases.iter().map(|phase| phase.seconds).sum(), phases.iter().map(|phase| phase.cpu_seconds).sum()]
}

/// The line about the phases of one round.
pub fn summary(phases: &[PhaseCost]) -> String {
    let parts = phases.iter().map(|cost| format!("{} {:.2} s", cost.phase, cost.seconds)).collect::<Vec<_>>();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost { seconds: 9.0, cpu_seconds: 8.0, first_cpu_seconds: 0.0, peak_bytes: 0 };

    #[test]
    fn a_phase_takes_what_passes_between_its_end_and_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("phases");
        assert_eq!(of_assembly(&file, &COST).unwrap(), [Phase::Assemble.costs(&COST)]);
        let text = "list 1003.50\n0m0.500s 0m0.250s\n0m1.000s 0m0.250s\nroot 1008.00\n0m0.500s 0m0.250s\n1m1.000s 0m1.250s\n";
        std::fs::write(&file, text).unwrap();
        let expected = [(Phase::List, 4.5, 2.0), (Phase::Root, 4.5, 61.0)];
        let expected =
            expected.map(|(phase, seconds, cpu_seconds)| PhaseCost { phase, seconds, cpu_seconds });
        assert_eq!(of_assembly(&file, &COST).unwrap(), expected);
        for damaged in
            ["list\n", "lost 1.0\n0m0s 0m0s\n0m0s 0m0s\n", "list 1.0\n0m0s 0m0s\n", "list 1.0\n0m0s\n0s\n"]
        {
            std::fs::write(&file, damaged).unwrap();
            assert!(of_assembly(&file, &COST).is_err(), "{damaged}");
        }
    }

    #[test]
    fn each_phase_has_its_median() {
        let round = |seconds| vec![PhaseCost { phase: Phase::Check, seconds, cpu_seconds: 2.0 * seconds }];
        let found = medians(&[round(1.0), round(9.0), round(3.0)]);
        assert_eq!(found, [MedianPhase { phase: Phase::Check, seconds: 3.0, cpu_seconds: 6.0 }]);
        assert_eq!((sums(&found), summary(&round(1.5))), ([3.0, 6.0], "check 1.50 s".to_owned()));
    }
}
