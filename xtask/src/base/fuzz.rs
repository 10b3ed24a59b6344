//! Property tests for parsers of foreign bytes. Each parser gets mutations of real samples and random bytes, and must
//! end within a limit of time and memory, without a panic.
//!
//! Such a test has `fuzz` in its name or path: `cargo xtask test fuzz` runs them for longer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use rustix::time::{ClockId, clock_gettime};

/// The most memory that one parser may hold at any time, in bytes.
const MAX_MEMORY: u64 = 256 << 20;
/// The largest CPU time of one parser for one input. An input is small: a parser that takes longer does work out of all
/// proportion to the size of the input.
const MAX_CPU_TIME: Duration = Duration::from_secs(2);
/// The number of inputs of one test run.
const CASES: u32 = 512;
/// The seed of a test run: its inputs are always the same, so it begins to fail only where the code changes. A longer
/// run takes other inputs each time.
const SEED: RngSeed = RngSeed::Fixed(2026);
/// The environment variable with the seconds that each parser is tested for in a longer run.
const SECONDS_VARIABLE: &str = "XTASK_FUZZ_SECONDS";

/// Numbers that are edge cases for parsers of sizes, counts and offsets.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// One change to a sample.
#[derive(Clone, Debug)]
enum Change {
    /// Overwrites one byte.
    Byte(Index, u8),
    /// Overwrites `width` bytes by the lowest bytes of `number`.
    Number {
        at: Index,
        number: u64,
        width: usize,
        big_endian: bool,
    },
    /// Removes all bytes from an index on.
    Cut(Index),
    Insert(Index, Vec<u8>),
    /// Inserts a part `times` times behind itself.
    Repeat {
        from: Index,
        length: u16,
        times: u8,
    },
    Remove {
        from: Index,
        length: u16,
    },
    /// Overwrites the bytes at `to` by a part.
    Copy {
        from: Index,
        to: Index,
        length: u16,
    },
}

/// Generates changes.
fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let number = prop_oneof![prop::sample::select(NUMBERS), any::<u64>()];
    let width = prop::sample::select(&[2usize, 4, 8][..]);
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (at(), number, width, any::<bool>())
            .prop_map(|(at, number, width, big_endian)| Change::Number { at, number, width, big_endian }),
        1 => at().prop_map(Change::Cut),
        2 => (at(), fragment()).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (at(), 1u16..512, any::<u8>()).prop_map(|(from, length, times)| Change::Repeat { from, length, times }),
        1 => (at(), 1u16..512).prop_map(|(from, length)| Change::Remove { from, length }),
        2 => (at(), at(), 1u16..512).prop_map(|(from, to, length)| Change::Copy { from, to, length }),
    ]
}

/// Generates short fragments with a meaning to parsers of text or to terminals, or random bytes.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    const FRAGMENTS: &[&str] = &[
        "\n",
        "\0",
        "\r",
        "\t",
        " ",
        "\"",
        "'",
        "\\",
        "/",
        "..",
        "=",
        ":",
        "@",
        "#",
        "%",
        "-",
        "{",
        "[",
        "\x1b[2J",
        "\u{9b}31m",
        "\u{202e}",
        "\u{feff}",
        "99999999999999999999",
        "ü",
    ];
    prop_oneof![
        prop::sample::select(FRAGMENTS).prop_map(|fragment| fragment.as_bytes().to_vec()),
        vec(any::<u8>(), 0..64),
    ]
}

impl Change {
    /// Applies the change to `bytes`. Where `bytes` ends before the change does, only a part of it is applied.
    fn apply(&self, bytes: &mut Vec<u8>) {
        let position = |at: &Index, bytes: &Vec<u8>| at.index(bytes.len() + 1);
        let range = |from: &Index, length: u16, bytes: &Vec<u8>| {
            let start = position(from, bytes);
            start..bytes.len().min(start + usize::from(length))
        };
        match self {
            Self::Byte(at, byte) => {
                let at = position(at, bytes);
                overwrite(bytes, at, &[*byte]);
            }
            Self::Number { at, number, width, big_endian } => {
                let mut digits = number.to_le_bytes()[..*width].to_vec();
                if *big_endian {
                    digits.reverse();
                }
                let at = position(at, bytes);
                overwrite(bytes, at, &digits);
            }
            Self::Cut(at) => bytes.truncate(position(at, bytes)),
            Self::Insert(at, new) => {
                let at = position(at, bytes);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Repeat { from, length, times } => {
                let range = range(from, *length, bytes);
                let copies = bytes[range.clone()].repeat(usize::from(*times));
                bytes.splice(range.end..range.end, copies);
            }
            Self::Remove { from, length } => drop(bytes.drain(range(from, *length, bytes))),
            Self::Copy { from, to, length } => {
                let part = bytes[range(from, *length, bytes)].to_vec();
                let to = position(to, bytes);
                overwrite(bytes, to, &part);
            }
        }
    }
}

/// Overwrites the bytes from `at` on by those of `new`. The length of `bytes` stays.
fn overwrite(bytes: &mut [u8], at: usize, new: &[u8]) {
    for (old, new) in bytes[at..].iter_mut().zip(new) {
        *old = *new;
    }
}

/// Generates mutations of `samples`, and random bytes.
fn inputs(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let mutated = (prop::sample::select(samples), vec(change(), 0..8)).prop_map(|(mut bytes, changes)| {
        for change in changes {
            change.apply(&mut bytes);
        }
        bytes
    });
    prop_oneof![7 => mutated, 1 => vec(any::<u8>(), 0..2048)]
}

/// Tests that `parse` ends within its limits and does not panic, whatever bytes it gets. The bytes are mutations of
/// `samples`, which are real inputs, and random bytes.
///
/// # Panics
/// Where a test fails, with the smallest failing input that was found.
pub fn check<T>(samples: &[&[u8]], parse: impl Fn(&[u8]) -> T) {
    let inputs = inputs(samples.iter().map(|sample| sample.to_vec()).collect());
    let duration =
        std::env::var(SECONDS_VARIABLE).ok().and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let begin = Instant::now();
    loop {
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            // In milliseconds.
            max_shrink_time: 20_000,
            rng_seed: if duration.is_none() { SEED } else { RngSeed::Random },
            ..Config::default()
        };
        let result = TestRunner::new(config).run(&inputs, |input| check_one(&input, &parse));
        if let Err(error) = result {
            panic!("{error}");
        }
        if duration.is_none_or(|duration| begin.elapsed() >= duration) {
            return;
        }
    }
}

/// Like [`check`], for a parser of text: bytes that are not UTF-8 become replacement characters.
pub fn check_text<T>(samples: &[&str], parse: impl Fn(&str) -> T) {
    let samples = samples.iter().map(|sample| sample.as_bytes()).collect::<Vec<_>>();
    check(&samples, |bytes| parse(&String::from_utf8_lossy(bytes)));
}

/// Fails where `parse` panics on `input`, or takes too much time or memory for it.
fn check_one<T>(input: &[u8], parse: &impl Fn(&[u8]) -> T) -> Result<(), TestCaseError> {
    let mut outcome = Ok(());
    let begin = cpu_time();
    let memory = allocation_counter::measure(|| {
        outcome = catch_unwind(AssertUnwindSafe(|| drop(parse(input)))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
        });
    });
    let time = cpu_time().saturating_sub(begin);
    let failed = |what: String| Err(TestCaseError::fail(format!("{what}\n{}", input.escape_ascii())));
    match outcome {
        Err(panic) => failed(format!("panicked: {panic}")),
        Ok(()) if time > MAX_CPU_TIME => failed(format!("took {time:?}")),
        Ok(()) if memory.bytes_max > MAX_MEMORY => {
            failed(format!("took {} bytes of memory", memory.bytes_max))
        }
        Ok(()) => Ok(()),
    }
}

/// The CPU time of this thread: unlike the wall clock, it does not depend on other work of the machine.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

mod tests {
    use super::*;

    /// The message with which the test of `parse` fails.
    fn failure(parse: impl Fn(&[u8])) -> String {
        let error = catch_unwind(AssertUnwindSafe(|| check(&[b"size=10\n"], parse))).unwrap_err();
        error.downcast_ref::<String>().unwrap().clone()
    }

    #[test]
    fn a_fuzz_run_finds_a_panic() {
        let text = failure(|bytes| assert!(bytes.len() <= 8, "too large"));
        assert!(text.contains("panicked: too large"), "{text}");
    }

    #[test]
    fn a_fuzz_run_finds_too_much_memory() {
        let text = failure(|bytes| {
            if bytes.len() > 8 {
                drop(Vec::<u8>::with_capacity(300 << 20));
            }
        });
        assert!(text.contains("bytes of memory"), "{text}");
    }

    #[test]
    fn a_fuzz_run_passes_a_harmless_parser() {
        check(&[b"a"], <[u8]>::len);
        check_text(&["a"], str::len);
    }
}
