//! The suite `fuzz`: longer runs of the property tests of parsers.

use std::num::NonZero;

use anyhow::Result;

use super::report;
use crate::bail;
use crate::base::Context;

/// The variable with the duration of the test of each parser, in seconds, which `crate::base::fuzz` reads.
pub const SECONDS: &str = "XTASK_FUZZ_SECONDS";

/// The arguments that skip the tests of the fuzz runner itself.
const SKIP: &[&str] = &["--skip", "a_fuzz_run"];

/// A run of all property tests.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// The number of parsers.
    pub parsers: usize,
    /// The duration of the test of each parser, in seconds.
    pub seconds: u64,
    /// The number of tests that run at once.
    threads: u64,
}

impl Run {
    /// Counts the parsers, for which cargo builds their tests, and divides the `minutes` of all threads among the
    /// parsers.
    pub fn gather(cx: &Context, minutes: NonZero<u32>) -> Result<Self> {
        let args = [&["test", "--workspace", "--lib", "fuzz", "--"], SKIP, &["--list", "--format", "terse"]];
        let list = cx.in_phase("build", || cx.launcher.read("cargo", &args.concat()))?;
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
        match report::test_names(&list).len() {
            0 => bail!(Other, "cargo lists no test with `fuzz` in its name"),
            parsers => Ok(Self::new(parsers, threads, minutes)),
        }
    }

    fn new(parsers: usize, threads: u64, minutes: NonZero<u32>) -> Self {
        let total = u64::from(minutes.get()) * 60 * threads;
        Self { parsers, seconds: (total / parsers.max(1) as u64).max(1), threads }
    }

    /// The arguments of cargo for the run.
    pub fn cargo_args(&self) -> Vec<String> {
        // Some need programs, which a run for minutes may expect.
        let args = [&["test", "--workspace", "--lib", "fuzz", "--", "--include-ignored"], SKIP].concat();
        let threads = format!("--test-threads={}", self.threads);
        args.into_iter().map(str::to_owned).chain([threads]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minutes_are_divided_among_the_parsers() {
        let seconds =
            |parsers, threads, minutes| Run::new(parsers, threads, NonZero::new(minutes).unwrap()).seconds;
        assert_eq!(seconds(40, 2, 10), 30);
        assert_eq!(seconds(1000, 1, 1), 1);
        assert_eq!(seconds(1, 64, u32::MAX), 64 * 60 * u64::from(u32::MAX));
    }
}
