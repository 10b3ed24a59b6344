//! Longer runs of the property tests of parsers.

use std::num::NonZero;

use anyhow::Result;

use super::report;
use crate::bail;
use crate::base::Context;

/// The variable with the duration of the test of each parser, in seconds; `crate::base::fuzz` reads it.
pub const SECONDS: &str = "XTASK_FUZZ_SECONDS";

/// Skips the tests of the fuzz runner itself.
const SKIP: &[&str] = &["--skip", "a_fuzz_run"];

/// A run: the number of parsers and threads, and the duration per parser.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    pub parsers: usize,
    pub seconds: u64,
    threads: u64,
}

impl Run {
    /// Counts the parsers; cargo builds their tests for this.
    pub fn gather(cx: &Context, minutes: NonZero<u32>) -> Result<Self> {
        let args = [&["test", "--workspace", "--lib", "fuzz", "--"], SKIP, &["--list", "--format", "terse"]];
        let list = cx.in_phase("build", || cx.launcher.read("cargo", &args.concat()))?;
        let threads = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
        match report::test_names(&list).len() {
            0 => bail!(Other, "cargo lists no test with `fuzz` in its name"),
            parsers => Ok(Self::new(parsers, threads, minutes)),
        }
    }

    fn new(parsers: usize, threads: u64, minutes: NonZero<u32>) -> Self {
        let total = u64::from(minutes.get()) * 60 * threads;
        Self { parsers, seconds: (total / parsers.max(1) as u64).max(1), threads }
    }

    pub fn cargo_args(&self) -> Vec<String> {
        let args = [&["test", "--workspace", "--lib", "fuzz", "--"], SKIP].concat();
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
