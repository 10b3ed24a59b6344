//! The assembler with programs of this machine against the same with those of a Pi, which are emulated.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::assembly::Assembly;
use super::closure::Closure;
use super::samples::median;
use super::workdir::{Scratch, Workdir};
use crate::base::failure::ExitKind;
use crate::base::process::Cost;
use crate::base::{Bytes, Context, Table, interrupt};
use crate::dev::demo::Tools;
use crate::setup::debian::Arch;

/// How much is assembled, in MiB.
const CONTENT_MIB: usize = 500;

/// How hard the image is compressed: as the demo does it. Harder, emulation takes a quarter of an hour.
const LEVEL: u8 = 3;

/// How many times as long the emulated one should take at least.
const AT_LEAST: f64 = 5.0;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Comparison {
    native: Vec<Cost>,
    emulated: Vec<Cost>,
    /// That of the image, which is the same from both.
    blake3: String,
    /// The size of its file in bytes.
    stored: u64,
}

/// Assembles the same content with both kinds of programs in each of the `rounds`.
///
/// # Errors
/// Refused where nothing is emulated, or nothing can be; and if the images differ.
pub fn compare(cx: &Context, rounds: NonZero<u32>) -> Result<Comparison> {
    let [native, emulated] = both_tools(cx)?;
    let hold = interrupt::guard()?;
    let place = Workdir::take(cx)?;
    let scratch = Scratch::new(place.join("content"))?;
    cx.in_phase("make the content", || fill(scratch.path(), &emulated))?;
    let mut found = Comparison { native: vec![], emulated: vec![], blake3: String::new(), stored: 0 };
    for round in 1..=rounds.get() {
        for (name, tools) in [("native", &native), ("emulated", &emulated)] {
            hold.check()?;
            let out = scratch.path().join("out.img.zst");
            let cost = Assembly { tools, content: scratch.path(), out: &out, level: LEVEL }.run(cx)?;
            cx.note(format!("{name} {round}/{rounds}: {:.2} s, CPU {:.2} s", cost.seconds, cost.cpu_seconds));
            found.note(name, cost, &out)?;
        }
    }
    Ok(found)
}

fn both_tools(cx: &Context) -> Result<[Tools; 2]> {
    if Arch::of_this_machine() != Some(Arch::Amd64) {
        let text = format!(
            "nothing is emulated for AArch64 on {}: there is nothing to compare",
            std::env::consts::ARCH
        );
        return Err(ExitKind::Refused.error(text));
    }
    let [native, emulated] = [Tools::stage(cx, Arch::Amd64)?, Tools::stage(cx, Arch::Arm64)?];
    let program = emulated.program("dash");
    let words = [program.as_os_str(), "-c".as_ref(), "true".as_ref()];
    // By way of `env`: a program that the kernel cannot run is an exit code then.
    let tried = cx.launcher.capture("env", &words)?;
    if !tried.success() {
        let text =
            "this machine does not run AArch64 programs; `cargo xtask setup` puts an emulator in place";
        return Err(ExitKind::Refused.error(text));
    }
    Ok([native, emulated])
}

/// The programs of the demo, and as much more as makes [`CONTENT_MIB`].
fn fill(dir: &Path, programs: &Tools) -> Result<()> {
    let store = dir.join("store").join(format!("{}-demo-programs-1", "0".repeat(32)));
    let size = programs.copy_files(&store)?;
    let rest = CONTENT_MIB - usize::try_from(size >> 20)?;
    Closure::of(rest).write(dir)?;
    let paths = dir.join("paths");
    let text = fs::read_to_string(&paths).with_context(|| format!("reading {}", paths.display()))?;
    let text = format!("{text}{}\n", store.display());
    fs::write(&paths, text).with_context(|| format!("writing {}", paths.display()))
}

impl Comparison {
    fn note(&mut self, name: &str, cost: Cost, out: &PathBuf) -> Result<()> {
        let bytes = fs::read(out).with_context(|| format!("reading {}", out.display()))?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        if !self.blake3.is_empty() && self.blake3 != hash {
            let text = "the emulated programs make another image than those of this machine";
            return Err(ExitKind::Verification.error(text));
        }
        (self.blake3, self.stored) = (hash, bytes.len() as u64);
        if name == "native" {
            self.native.push(cost);
        } else {
            self.emulated.push(cost);
        }
        Ok(())
    }

    /// The medians of a figure, and how many times that of the other the emulated one is.
    fn medians(&self, figure: fn(&Cost) -> f64) -> [f64; 3] {
        let [native, emulated] = [&self.native, &self.emulated]
            .map(|costs| median(costs.iter().map(figure).collect()).unwrap_or(f64::NAN));
        [native, emulated, emulated / native]
    }

    /// How many times as long the emulated one takes.
    pub fn ratio(&self) -> f64 {
        self.medians(|cost| cost.seconds)[2]
    }

    /// For people.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["MEASURED", "NATIVE", "EMULATED", "RATIO", "AT LEAST", "KEPT"]);
        let mut row = |name: &str, [native, emulated, ratio]: [f64; 3], at_least: &str, kept: &str| {
            let [native, emulated] = [native, emulated].map(|seconds| format!("{seconds:.2} s"));
            table.row([name.into(), native, emulated, format!("{ratio:.2}"), at_least.into(), kept.into()]);
        };
        let kept = if self.ratio() >= AT_LEAST { "yes" } else { "no" };
        row("time", self.medians(|cost| cost.seconds), &format!("{AT_LEAST:.2}"), kept);
        row("CPU time", self.medians(|cost| cost.cpu_seconds), "-", "-");
        table
    }

    /// What both have made.
    pub fn image(&self) -> String {
        format!("the same image from both: {}, blake3 {}", Bytes(self.stored), self.blake3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_their_ratio() {
        let costs = |seconds: [f64; 3]| {
            seconds
                .map(|seconds| Cost {
                    seconds,
                    cpu_seconds: 2.0 * seconds,
                    first_cpu_seconds: 0.0,
                    peak_bytes: 0,
                })
                .to_vec()
        };
        let (native, emulated) = (costs([2.0, 9.0, 1.0]), costs([12.0, 11.0, 80.0]));
        let found = Comparison { native, emulated, blake3: "00".into(), stored: 3 << 20 };
        let expected = "\
MEASURED  NATIVE  EMULATED  RATIO  AT LEAST  KEPT
time      2.00 s  12.00 s   6.00   5.00      yes
CPU time  4.00 s  24.00 s   6.00   -         -";
        assert_eq!(found.table().to_string(), expected);
        assert_eq!(found.image(), "the same image from both: 3.0 MiB, blake3 00");
    }
}
