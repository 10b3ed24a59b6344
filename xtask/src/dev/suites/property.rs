//! The property tests of parsers, run for minutes.

use std::num::NonZero;

use anyhow::Result;

use super::report;
use crate::base::Context;
use crate::base::failure::ExitKind;

/// How long each parser is tested, in seconds; `crate::base::fuzz` reads it.
pub const SECONDS: &str = "XTASK_FUZZ_SECONDS";

/// The tests that show what a fuzz run finds: no parsers.
const SKIP: [&str; 2] = ["--skip", "a_fuzz_run"];

/// A run: which parsers, on how many threads, and how long each.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub parsers: usize,
    pub seconds: u64,
    threads: u64,
}

impl Run {
    /// Finds the parsers; cargo builds their tests for it.
    pub fn gather(cx: &Context, minutes: NonZero<u32>) -> Result<Self> {
        let args =
            [&["test", "--workspace", "--lib", "fuzz", "--"], &SKIP[..], &["--list", "--format", "terse"]];
        let list = cx.in_phase("build", || cx.launcher.read("cargo", &args.concat()))?;
        let threads = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
        match report::tests(&list).len() {
            0 => Err(ExitKind::Other.error("cargo lists no test with `fuzz` in its name")),
            parsers => Ok(Self::new(parsers, threads, minutes)),
        }
    }

    fn new(parsers: usize, threads: u64, minutes: NonZero<u32>) -> Self {
        let all = u64::from(minutes.get()) * 60 * threads;
        Self { parsers, seconds: (all / parsers.max(1) as u64).max(1), threads }
    }

    pub fn cargo_args(&self) -> Vec<String> {
        let args = [&["test", "--workspace", "--lib", "fuzz", "--"], &SKIP[..]].concat();
        let threads = format!("--test-threads={}", self.threads);
        args.into_iter().map(str::to_owned).chain([threads]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_shared_out() {
        let seconds =
            |parsers, threads, minutes| Run::new(parsers, threads, NonZero::new(minutes).unwrap()).seconds;
        assert_eq!(seconds(40, 2, 10), 30);
        assert_eq!(seconds(1000, 1, 1), 1);
        assert_eq!(seconds(1, 64, u32::MAX), 64 * 60 * u64::from(u32::MAX));
    }
}
