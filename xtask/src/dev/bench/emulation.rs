//! `bench assemble`: the assembler with native programs against the assembler with emulated programs of a Pi.

use std::fs;
use std::num::NonZero;
use std::path::Path;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
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
const MIN_TIME_RATIO: f64 = 5.0;

/// How the programs of the assembler run.
#[derive(Clone, Copy, Debug)]
enum Execution {
    Native,
    Emulated,
}

/// The measured costs of all rounds, and the image.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EmulationComparison")]
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
/// `Refused` on a machine that is not x86-64, or whose kernel does not run `AArch64` programs; `Verification` for
/// images that differ.
pub fn compare(cx: &Context, rounds: NonZero<u32>) -> Result<Comparison> {
    let [native, emulated] = stage_native_and_emulated_tools(cx)?;
    let signals = interrupt::guard()?;
    let workdir = Workdir::take(cx)?;
    let folder = TemporaryFolder::new(workdir.join("content"))?;
    cx.in_phase("make the content", || write_content(folder.path(), &emulated))?;
    let mut comparison = Comparison { native: vec![], emulated: vec![], blake3: String::new(), stored: 0 };
    for round in 1..=rounds.get() {
        for (execution, tools) in [(Execution::Native, &native), (Execution::Emulated, &emulated)] {
            signals.check()?;
            let out = folder.path().join("out.img.zst");
            let cost = Assembly { tools, content: folder.path(), out: &out, level: LEVEL }.run(cx)?;
            let name = execution.name();
            cx.note(format!("{name} {round}/{rounds}: {:.2} s, CPU {:.2} s", cost.seconds, cost.cpu_seconds));
            comparison.add(execution, cost, &out)?;
        }
    }
    Ok(comparison)
}

/// Stages the native programs and those of a Pi.
///
/// # Errors
/// `Refused` on a machine that is not x86-64, or whose kernel does not run `AArch64` programs.
fn stage_native_and_emulated_tools(cx: &Context) -> Result<[Tools; 2]> {
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
    // `env` exits with a code where the kernel cannot run the program. Starting the program directly would be an error.
    if !cx.launcher.capture("env", &words)?.success() {
        bail!(Refused, "this machine does not run AArch64 programs"; hint: "run `cargo xtask setup`");
    }
    Ok([native, emulated])
}

/// Writes the content to `dir`: the programs of the demo, and a synthetic closure up to [`CONTENT_MIB`].
fn write_content(dir: &Path, programs: &Tools) -> Result<()> {
    let store = dir.join("store").join(format!("{}-demo-programs-1", "0".repeat(32)));
    let programs_mib = programs.copy_files(&store)? >> 20;
    let rest_mib = CONTENT_MIB - usize::try_from(programs_mib)?;
    Closure::with_size(rest_mib).write(dir)?;
    let paths = dir.join("paths");
    let list = fs::read_to_string(&paths).with_context(|| format!("reading {}", paths.display()))?;
    fs::write(&paths, format!("{list}{}\n", store.display()))
        .with_context(|| format!("writing {}", paths.display()))
}

/// Two medians, and the ratio of the emulated to the native one.
struct Medians {
    native: f64,
    emulated: f64,
    ratio: f64,
}

impl Execution {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Emulated => "emulated",
        }
    }
}

impl Comparison {
    /// Adds the cost of one assembly, which made the image `out`.
    ///
    /// # Errors
    /// `Verification` where the image differs from the earlier ones.
    fn add(&mut self, execution: Execution, cost: Cost, out: &Path) -> Result<()> {
        let bytes = fs::read(out).with_context(|| format!("reading {}", out.display()))?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        if !self.blake3.is_empty() && self.blake3 != hash {
            bail!(Verification, "the emulated and the native programs make different images");
        }
        self.blake3 = hash;
        self.stored = bytes.len() as u64;
        match execution {
            Execution::Native => self.native.push(cost),
            Execution::Emulated => self.emulated.push(cost),
        }
        Ok(())
    }

    /// The medians of the values that `read` takes from the costs; not a number without costs.
    fn medians(&self, read: fn(&Cost) -> f64) -> Medians {
        let median_of = |costs: &[Cost]| median(costs.iter().map(read).collect()).unwrap_or(f64::NAN);
        let native = median_of(&self.native);
        let emulated = median_of(&self.emulated);
        Medians { native, emulated, ratio: emulated / native }
    }

    /// The ratio of the emulated to the native time.
    pub fn ratio(&self) -> f64 {
        self.medians(|cost| cost.seconds).ratio
    }

    /// The table of the comparison.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["MEASURED", "NATIVE", "EMULATED", "RATIO", "AT LEAST", "KEPT"]);
        let mut row = |name: &str, medians: Medians, at_least: &str, kept: &str| {
            let Medians { native, emulated, ratio } = medians;
            let [native, emulated] = [native, emulated].map(|seconds| format!("{seconds:.2} s"));
            table.row([name.into(), native, emulated, format!("{ratio:.2}"), at_least.into(), kept.into()]);
        };
        let kept = if self.ratio() >= MIN_TIME_RATIO { "yes" } else { "no" };
        row("time", self.medians(|cost| cost.seconds), &format!("{MIN_TIME_RATIO:.2}"), kept);
        row("CPU time", self.medians(|cost| cost.cpu_seconds), "-", "-");
        table
    }

    /// The line about the image, which the native and the emulated programs made alike.
    pub fn image_summary(&self) -> String {
        format!("the same image from both: {}, blake3 {}", Bytes(self.stored), self.blake3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_has_the_ratio_of_the_medians_and_the_image() {
        let cost =
            |seconds| Cost { seconds, cpu_seconds: 2.0 * seconds, first_cpu_seconds: 0.0, peak_bytes: 0 };
        let native = [2.0, 9.0, 1.0].map(cost).to_vec();
        let emulated = [12.0, 11.0, 80.0].map(cost).to_vec();
        let comparison = Comparison { native, emulated, blake3: "00".into(), stored: 3 << 20 };
        let expected = "\
MEASURED  NATIVE  EMULATED  RATIO  AT LEAST  KEPT
time      2.00 s  12.00 s   6.00   5.00      yes
CPU time  4.00 s  24.00 s   6.00   -         -";
        assert_eq!(comparison.table().to_string(), expected);
        assert_eq!(comparison.image_summary(), "the same image from both: 3.0 MiB, blake3 00");
    }
}
