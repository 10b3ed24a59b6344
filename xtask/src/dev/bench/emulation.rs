//! `bench assemble`: the assembler with native programs against the assembler with emulated programs of a Pi.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::assembly::Assembly;
use super::closure::Closure;
use super::samples::median;
use super::workdir::{TemporaryFolder, Workdir};
use crate::bail;
use crate::base::process::Cost;
use crate::base::{Bytes, Context, Table, interrupt};
use crate::dev::demo::Tools;
use crate::setup::debian::Arch;

/// The size of the assembled content, in MiB.
const CONTENT_MIB: usize = 500;

/// The compression level, the same as in the demo. At a higher level, emulation takes a quarter of an hour.
const LEVEL: u8 = 3;

/// The least expected ratio of the emulated to the native time.
const AT_LEAST: f64 = 5.0;

/// The measured costs.
#[derive(Debug, Serialize)]
pub struct Comparison {
    native: Vec<Cost>,
    emulated: Vec<Cost>,
    /// The hash of the image, which is the same for both.
    blake3: String,
    /// The size of the compressed image, in bytes.
    stored: u64,
}

/// Assembles the same content with native and with emulated programs in each of the `rounds`.
///
/// # Errors
/// `Refused` on machines that emulate nothing or cannot emulate, and `Verification` for images that differ.
pub fn compare(cx: &Context, rounds: NonZero<u32>) -> Result<Comparison> {
    let [native, emulated] = both_tools(cx)?;
    let signals = interrupt::guard()?;
    let workdir = Workdir::take(cx)?;
    let folder = TemporaryFolder::new(workdir.join("content"))?;
    cx.in_phase("make the content", || write_content(folder.path(), &emulated))?;
    let mut found = Comparison { native: vec![], emulated: vec![], blake3: String::new(), stored: 0 };
    for round in 1..=rounds.get() {
        for (name, tools) in [("native", &native), ("emulated", &emulated)] {
            signals.check()?;
            let out = folder.path().join("out.img.zst");
            let cost = Assembly { tools, content: folder.path(), out: &out, level: LEVEL }.run(cx)?;
            cx.note(format!("{name} {round}/{rounds}: {:.2} s, CPU {:.2} s", cost.seconds, cost.cpu_seconds));
            found.add(name, cost, &out)?;
        }
    }
    Ok(found)
}

fn both_tools(cx: &Context) -> Result<[Tools; 2]> {
    if Arch::of_this_machine() != Some(Arch::Amd64) {
        bail!(
            Refused,
            "the comparison needs an x86-64 machine, which emulates AArch64; this is {}",
            std::env::consts::ARCH
        );
    }
    let [native, emulated] = [Tools::stage(cx, Arch::Amd64)?, Tools::stage(cx, Arch::Arm64)?];
    let program = emulated.program("dash");
    let words = [program.as_os_str(), "-c".as_ref(), "true".as_ref()];
    // With `env`, a program that the kernel cannot run is an exit code.
    if !cx.launcher.capture("env", &words)?.success() {
        bail!(Refused, "this machine does not run AArch64 programs"; hint: "run `cargo xtask setup`");
    }
    Ok([native, emulated])
}

/// Writes the content to `dir`: the programs of the demo, and a synthetic closure up to [`CONTENT_MIB`].
fn write_content(dir: &Path, programs: &Tools) -> Result<()> {
    let store = dir.join("store").join(format!("{}-demo-programs-1", "0".repeat(32)));
    let size = programs.copy_files(&store)?;
    let rest = CONTENT_MIB - usize::try_from(size >> 20)?;
    Closure::with_size(rest).write(dir)?;
    let paths = dir.join("paths");
    let list = fs::read_to_string(&paths).with_context(|| format!("reading {}", paths.display()))?;
    fs::write(&paths, format!("{list}{}\n", store.display()))
        .with_context(|| format!("writing {}", paths.display()))
}

impl Comparison {
    fn add(&mut self, name: &str, cost: Cost, out: &PathBuf) -> Result<()> {
        let bytes = fs::read(out).with_context(|| format!("reading {}", out.display()))?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        if !self.blake3.is_empty() && self.blake3 != hash {
            bail!(Verification, "the emulated and the native programs make different images");
        }
        self.blake3 = hash;
        self.stored = bytes.len() as u64;
        if name == "native" {
            self.native.push(cost);
        } else {
            self.emulated.push(cost);
        }
        Ok(())
    }

    /// The native and the emulated median of a figure, and their ratio.
    fn medians(&self, figure: fn(&Cost) -> f64) -> [f64; 3] {
        let [native, emulated] = [&self.native, &self.emulated]
            .map(|costs| median(costs.iter().map(figure).collect()).unwrap_or(f64::NAN));
        [native, emulated, emulated / native]
    }

    /// The ratio of the emulated to the native time.
    pub fn ratio(&self) -> f64 {
        self.medians(|cost| cost.seconds)[2]
    }

    /// The table of the comparison.
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

    /// The line about the image that both made.
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
        let native = costs([2.0, 9.0, 1.0]);
        let emulated = costs([12.0, 11.0, 80.0]);
        let found = Comparison { native, emulated, blake3: "00".into(), stored: 3 << 20 };
        let expected = "\
MEASURED  NATIVE  EMULATED  RATIO  AT LEAST  KEPT
time      2.00 s  12.00 s   6.00   5.00      yes
CPU time  4.00 s  24.00 s   6.00   -         -";
        assert_eq!(found.table().to_string(), expected);
        assert_eq!(found.image(), "the same image from both: 3.0 MiB, blake3 00");
    }
}
