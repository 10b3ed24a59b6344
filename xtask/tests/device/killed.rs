//! The worker is killed at a hundred points of its work, as by a power cut: the card never boots half an image, and
//! the same command then completes the flash.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::SystemTime;

use rustix::process::{Pid, Signal, kill_process};

use crate::card::{MIB, is_blank};
use crate::image::{garbage, image, pack};
use crate::interrupt::worker_of;
use crate::support::Sandbox;
use crate::support::loops::Loop;

/// The size of the image in MiB.
const IMAGE_MIB: usize = 24;
/// The size of the card in MiB.
const CARD_MIB: usize = 32;
/// The least number of kills.
const KILLS: usize = 100;
/// The phases of a worker, in each of which at least one kill must happen.
const PHASES: &[&str] = &["begin", "capacity", "write", "verify", "head"];
/// The number of kills before each flash that is not killed.
const KILLS_IN_A_ROW: usize = 5;
/// The size in bytes of the first page, which has the partition table or the header of a GPT. Without it nothing
/// boots.
const FIRST_PAGE: usize = 4096;

/// A deterministic random number generator (splitmix64).
struct Random(u64);

impl Random {
    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// A random element of `all`.
    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).expect("small")]
    }
}

/// When a worker is killed: the mode, and the number of bytes that it has read and written by then.
struct Moment {
    mode: &'static str,
    limit: u64,
}

impl Moment {
    /// A worker that is not killed.
    const NEVER: Self = Self { mode: "auto", limit: u64::MAX };

    /// A random moment of the work, more often at its begin and its end, where the head is blanked and written.
    /// Only in mode `full` it is known where the end is.
    /// `whole_flash` is the number of bytes that a flash in mode `full` reads and writes, whatever the card holds.
    fn random(random: &mut Random, whole_flash: u64) -> Self {
        let end = 3 << 20;
        let mode = *random.pick(&["auto", "full", "delta"]);
        match random.below(4) {
            0 => Self { mode, limit: random.below(end) },
            1 => Self { mode: "full", limit: whole_flash - random.below(end) },
            _ => Self { mode, limit: random.below(whole_flash) },
        }
    }
}

/// How a flash ended.
struct FlashEnd {
    code: Option<i32>,
    /// The phase that began last.
    phase: String,
    stderr: String,
    /// The number of bytes that the worker had read and written at the last measurement.
    moved_bytes: u64,
}

/// A card of [`CARD_MIB`] MiB, and an image of [`IMAGE_MIB`] MiB with zeros in it.
struct Setup {
    sandbox: Sandbox,
    card: Loop,
    image: Vec<u8>,
    _memory: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let memory = tempfile::tempdir_in("/dev/shm").expect("making a folder");
        let mut image = image(IMAGE_MIB);
        image[9 * MIB..14 * MIB].fill(0);
        pack(&sandbox.path("home"), "sized.zst", &image);
        let file = memory.path().join("card");
        std::fs::write(&file, vec![0; CARD_MIB * MIB]).expect("making a card");
        Self { card: Loop::over(&file, &[]), sandbox, image, _memory: memory }
    }

    /// Overwrites the card with noise, zeros and parts of the image, behind a head of noise.
    fn refill(&self, random: &mut Random) {
        let mut bytes = garbage(CARD_MIB * MIB);
        for mib in 1..IMAGE_MIB {
            let here = mib * MIB..(mib + 1) * MIB;
            match random.below(3) {
                0 => bytes[here].fill(0),
                1 => bytes[here.clone()].copy_from_slice(&self.image[here]),
                _ => {}
            }
        }
        let device = std::fs::File::options().write(true).open(self.card.device());
        device
            .and_then(|mut device| device.write_all(&bytes).and_then(|()| device.sync_all()))
            .expect("refilling");
    }

    /// Runs a flash whose worker is killed at `moment`, unless the flash ends before.
    fn flash(&self, moment: &Moment) -> FlashEnd {
        let file = self.sandbox.path("home").join("nixos-sd-image.sized.zst");
        let file = file.to_str().expect("a plain path");
        let card = self.card.device();
        let args = ["--json", "flash", "--image", file, card, "--allow-virtual", "--yes", "--no-eject"];
        let mut command =
            self.sandbox.command(&[&args[..], &["--expect-size", "32MiB", "--mode", moment.mode]].concat());
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("running the binary");
        let moved_bytes = kill_at(&mut child, moment.limit);
        let output = child.wait_with_output().expect("waiting for the binary");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        FlashEnd { code: output.status.code(), phase: last_phase(&stderr), stderr, moved_bytes }
    }
}

/// Kills the worker of `tool` once the worker has read and written `limit` bytes. Returns the number of bytes.
fn kill_at(tool: &mut Child, limit: u64) -> u64 {
    let mut moved = 0;
    while tool.try_wait().expect("waiting for the binary").is_none() {
        let Some(worker) = worker_of(tool) else { continue };
        while let Some(now) = moved_bytes(worker) {
            moved = now;
            if moved >= limit {
                // The worker may just have ended by itself.
                let _ = kill_process(worker, Signal::KILL);
                return moved;
            }
        }
    }
    moved
}

/// The number of bytes that the process has read and written so far; `None` where it has ended.
fn moved_bytes(process: Pid) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/io", process.as_raw_nonzero())).ok()?;
    let fields = text.lines().filter(|line| line.starts_with("rchar: ") || line.starts_with("wchar: "));
    Some(fields.filter_map(|line| line[7..].parse::<u64>().ok()).sum())
}

/// The phase that began last, by the events in `stderr`.
fn last_phase(stderr: &str) -> String {
    let events = stderr.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut names = events.filter_map(|event| {
        let name = event["name"].as_str()?.to_owned();
        match event["event"].as_str()? {
            "phase" => Some(name),
            "done" if name == "verify" => Some("head".to_owned()),
            _ => None,
        }
    });
    names.next_back().unwrap_or_else(|| "begin".to_owned())
}

/// Asserts that no half image boots on a card that held `before`, and that the exit code of the flash is right.
#[track_caller]
fn assert_safe(setup: &Setup, before: &[u8], end: &FlashEnd, context: &str) {
    let after = setup.card.bytes();
    let done = after.starts_with(&setup.image);
    let untouched = after[..MIB] == before[..MIB];
    assert!(done || untouched || is_blank(&after[..FIRST_PAGE]), "half an image would boot: {context}");
    match end.code {
        Some(0) => assert!(done, "{context}"),
        Some(5) => assert!(end.stderr.contains("before the card was complete"), "{context}"),
        Some(6) => assert!(end.stderr.contains("nothing was written") && after == before, "{context}"),
        code => panic!("exit code {code:?}: {context}"),
    }
}

/// Asserts that a flash that is not killed completes the card after a kill, which `context` describes.
#[track_caller]
fn assert_completed(setup: &Setup, context: &str) {
    let end = setup.flash(&Moment::NEVER);
    assert_eq!(end.code, Some(0), "{context}, and then: {}", end.stderr);
    assert!(setup.card.bytes().starts_with(&setup.image), "{context}, and then the image is not there");
}

/// The seed of the random numbers: `XTASK_SEED`, else the time in seconds.
fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    std::env::var("XTASK_SEED").map_or(now.as_secs(), |seed| seed.parse().expect("a number"))
}

#[test]
#[ignore = "needs root and loop devices: run `cargo xtask test`"]
fn a_worker_killed_at_random_points_never_leaves_half_an_image_that_boots() {
    let setup = Setup::new();
    let seed = random_seed();
    let mut random = Random(seed);
    setup.refill(&mut random);
    let whole = setup.flash(&Moment { mode: "full", ..Moment::NEVER });
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let mut killed = BTreeMap::<String, usize>::new();
    let mut kills = 0;
    let has_all_phases = |killed: &BTreeMap<_, _>| PHASES.iter().all(|phase| killed.contains_key(*phase));
    for _ in 0..5 * KILLS {
        if kills >= KILLS && has_all_phases(&killed) {
            break;
        }
        if kills % KILLS_IN_A_ROW == 0 {
            setup.refill(&mut random);
        }
        let before = setup.card.bytes();
        let moment = Moment::random(&mut random, whole.moved_bytes);
        let end = setup.flash(&moment);
        let mode = moment.mode;
        let limit = moment.limit;
        let context =
            format!("XTASK_SEED={seed}, kill {kills} in mode {mode} at {limit} bytes: {}", end.stderr);
        assert_safe(&setup, &before, &end, &context);
        if end.code == Some(0) {
            // The flash ended before the moment.
            continue;
        }
        kills += 1;
        *killed.entry(end.phase).or_default() += 1;
        if kills % KILLS_IN_A_ROW == 0 {
            assert_completed(&setup, &context);
        }
    }
    println!("killed in these phases: {killed:?}");
    assert!(
        kills >= KILLS && has_all_phases(&killed),
        "XTASK_SEED={seed}: killed in these phases: {killed:?}"
    );
}
