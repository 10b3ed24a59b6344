//! `bench edit`: where the time goes between a small change of a host and its card, for several ways to get there.
//!
//! Each way has a card of its own, which holds the image of the host before the change. What a change costs in Nix
//! besides, evaluating and building, is that of the host, and the same in all ways.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

use super::assembly::{Assembly, native_tools, script_of_this_checkout};
use super::closure::Closure;
use super::edit_phases::{self, MedianPhase, Phase, PhaseCost};
use super::preflight::require_memory;
use super::virtual_card::BenchCard;
use super::workdir::{TemporaryFolder, Workdir};
use crate::base::failure::ExitKind;
use crate::base::interrupt::{self, SignalGuard};
use crate::base::process::Cost;
use crate::base::{Context, Table};
use crate::card::image::Source;
use crate::dev::demo::Tools;

/// How many times as many files as the small closure of the other benchmarks has, the closure of this one has: 2 GiB
/// are 71 000 files.
const MORE_FILES: usize = 4;

/// How much larger a card is than its image, in bytes.
const REST_OF_CARD: u64 = 64 << 20;

/// The level of compression of the first way, with which the others are compared: that of earlier versions.
const EARLIER_LEVEL: u8 = 10;

/// The other ways, with their levels of compression: the default, and the lowest.
const OTHER_WAYS: &[(&str, u8)] = &[("now", 3), ("level 1", 1)];

/// The limit of the time, as a multiple of that of the first way.
const MAX_TIME_RATIO: f64 = 0.5;

/// What is measured.
pub struct EditPlan {
    /// The size of the closure, in MiB.
    pub mib: usize,
    /// A file with one store path a line, which are the closure in place of a synthetic one.
    pub paths: Option<PathBuf>,
    pub rounds: NonZero<u32>,
    /// The folder with the assembler of the first way; `None` for that of this checkout.
    pub assembler: Option<PathBuf>,
    /// The program of the first way that flashes; `None` for this one.
    pub tool: Option<PathBuf>,
}

/// A way from a changed closure to a card.
struct Way {
    name: &'static str,
    /// The compression level of zstd.
    level: u8,
    script: PathBuf,
    tool: PathBuf,
    /// The card, from the first image on.
    card: Option<BenchCard>,
    /// The phases of each round.
    rounds: Vec<Vec<PhaseCost>>,
}

/// What a way costs: medians over all rounds.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct EditCost {
    way: &'static str,
    compression_level: u8,
    phases: Vec<MedianPhase>,
    /// The sums over all phases, in seconds.
    seconds: f64,
    cpu_seconds: f64,
    /// These sums divided by those of the first way.
    ratio: f64,
    cpu_ratio: f64,
    /// The limit of the ratios.
    at_most: f64,
}

impl EditPlan {
    /// Measures all ways in each of the `rounds`, after a first one that only fills the cards.
    ///
    /// # Errors
    /// `Permission` and `Refused` where something is missing, a failure of the assembler or of the tool, a card that
    /// does not hold the image afterwards, and Ctrl-C.
    pub fn run(&self, cx: &Context) -> Result<Vec<EditCost>> {
        let mut ways = self.ways()?;
        let card = (self.mib as u64 * 2) << 20;
        require_memory(cx, card * ways.len() as u64)?;
        let tools = native_tools(cx)?;
        let signals = interrupt::guard()?;
        let workdir = Workdir::take(cx)?;
        let content = TemporaryFolder::new(workdir.join("content"))?;
        let state = TemporaryFolder::new(workdir.join("state"))?;
        let bench = EditBench { cx, signals: &signals, tools: &tools, content: &content, state: &state };
        // Of real store paths, the image has all but the root: kernel, boot menu and database are synthetic.
        let mib = if self.paths.is_some() { 0 } else { self.mib };
        let mut closure = Closure::with_files(mib, MORE_FILES);
        for round in 0..=self.rounds.get() {
            cx.in_phase("make the content", || closure.write(content.path()))?;
            if let Some(paths) = &self.paths {
                list_all_but_one(paths, round as usize, &content.path().join("paths"))?;
            }
            for way in &mut ways {
                let phases = bench.run(way)?;
                if round > 0 {
                    let text = edit_phases::summary(&phases);
                    cx.note(format!("{} {round}/{}: {text}", way.name, self.rounds));
                    way.rounds.push(phases);
                }
            }
            closure.reconfigure();
        }
        Ok(costs(&ways))
    }

    /// All ways, the one with which the others are compared first.
    fn ways(&self) -> Result<Vec<Way>> {
        let own = std::env::current_exe().context("finding this program")?;
        let way = |name, level| Way {
            name,
            level,
            script: script_of_this_checkout(),
            tool: own.clone(),
            card: None,
            rounds: Vec::new(),
        };
        let mut first = way("before", EARLIER_LEVEL);
        if let Some(folder) = &self.assembler {
            first.script = folder.join("assemble.sh");
        }
        if let Some(tool) = &self.tool {
            first.tool.clone_from(tool);
        }
        let others = OTHER_WAYS.iter().map(|(name, level)| way(name, *level));
        Ok(std::iter::once(first).chain(others).collect())
    }
}

/// The shared values of all runs.
struct EditBench<'a> {
    cx: &'a Context,
    signals: &'a SignalGuard,
    tools: &'a Tools,
    content: &'a TemporaryFolder,
    /// The state folder of the tool.
    state: &'a TemporaryFolder,
}

impl EditBench<'_> {
    /// Assembles the image, flashes it to the card of `way`, and verifies the card.
    fn run(&self, way: &mut Way) -> Result<Vec<PhaseCost>> {
        let out = self.content.path().join("out.img.zst");
        let phases = self.content.path().join("phases");
        let _ = std::fs::remove_file(&phases);
        self.signals.check()?;
        let content = self.content.path();
        let assembly = Assembly { tools: self.tools, content, out: &out, level: way.level };
        let cost = assembly.run_script(self.cx, &way.script, Some(&phases))?;
        let mut costs = edit_phases::of_assembly(&phases, &cost)?;
        costs.extend(self.hash(&out)?.map(|cost| Phase::Register.costs(&cost)));
        let size = Source::open(&out)?.size.context("the assembler notes the size of the image")?;
        if way.card.is_none() {
            way.card = Some(BenchCard::make(self.cx, size + REST_OF_CARD, None)?);
        }
        let card = way.card.as_ref().context("the card was made")?;
        costs.push(Phase::Check.costs(&self.flash(&way.tool, &out, card, &["--dry-run"])?));
        let expected = card.size().to_string();
        let options = ["--yes", "--no-eject", "--expect-size", &expected];
        costs.push(Phase::Flash.costs(&self.flash(&way.tool, &out, card, &options)?));
        card.verify_stream(Source::open(&out)?.stream()?).context("verifying the card after the flash")?;
        let _ = std::fs::remove_file(&out);
        Ok(costs)
    }

    /// What hashing the image costs Nix when it registers the image; `None` without Nix.
    fn hash(&self, out: &Path) -> Result<Option<Cost>> {
        if self.cx.launcher.which("nix").is_none() {
            return Ok(None);
        }
        let words = ["nix", "--extra-experimental-features", "nix-command", "hash", "path"];
        let command = words.iter().map(Into::into).chain([out.into()]).collect();
        let measured = self.cx.launcher.measure(&[command])?;
        Ok((measured.code == 0).then_some(measured.cost))
    }

    /// Runs `flash` of the program `tool` for the image `out` with these options.
    fn flash(&self, tool: &Path, out: &Path, card: &BenchCard, options: &[&str]) -> Result<Cost> {
        self.signals.check()?;
        let mut command = vec![tool.into(), "flash".into(), "--image".into(), out.into(), card.path().into()];
        command.extend(["--allow-virtual", "--json"].iter().chain(options).map(Into::into));
        let launcher = self.cx.launcher.clone().with_env("XTASK_STATE", self.state.path());
        let measured = launcher.measure(&[command])?;
        if measured.code == 0 {
            return Ok(measured.cost);
        }
        let last = measured.stderr.trim().lines().next_back().unwrap_or_default();
        let text = format!("{} flash failed with exit code {}: {last}", tool.display(), measured.code);
        Err(ExitKind::from_code(measured.code.try_into().unwrap_or(1)).error(text))
    }
}

/// Copies the list of store paths `from` to `to`, without one of the paths that are a single file: another one in each
/// `round`, as the unit of a service that changes.
fn list_all_but_one(from: &Path, round: usize, to: &Path) -> Result<()> {
    let doing = || format!("reading the store paths in {}", from.display());
    let text = std::fs::read_to_string(from).with_context(doing)?;
    let files = text.lines().filter(|path| Path::new(path).is_file()).collect::<Vec<_>>();
    let without = files.get(round % files.len().max(1));
    let lines = text.lines().filter(|line| Some(line) != without).map(|line| format!("{line}\n"));
    std::fs::write(to, lines.collect::<String>()).with_context(|| format!("writing {}", to.display()))
}

/// The medians of all `ways`, compared with the first one.
fn costs(ways: &[Way]) -> Vec<EditCost> {
    let all = ways.iter().map(|way| edit_phases::medians(&way.rounds)).collect::<Vec<_>>();
    let [first, cpu_first] = all.first().map(|phases| edit_phases::sums(phases)).unwrap_or_default();
    let costs = ways.iter().zip(all).map(|(way, phases)| {
        let [seconds, cpu_seconds] = edit_phases::sums(&phases);
        EditCost {
            way: way.name,
            compression_level: way.level,
            phases,
            seconds,
            cpu_seconds,
            ratio: seconds / first,
            cpu_ratio: cpu_seconds / cpu_first,
            at_most: MAX_TIME_RATIO,
        }
    });
    costs.collect()
}

/// The table with a row for each phase, and two columns for each way.
pub fn edit_table(costs: &[EditCost]) -> Table {
    let headers = costs.iter().flat_map(|cost| [cost.way.to_uppercase(), "CPU".to_owned()]);
    let headers = std::iter::once("PHASE".to_owned()).chain(headers).collect::<Vec<_>>();
    let mut table = Table::new(&headers.iter().map(String::as_str).collect::<Vec<_>>());
    let is_measured =
        |phase: &&Phase| costs.iter().flat_map(|cost| &cost.phases).any(|median| median.phase == **phase);
    for phase in Phase::ALL.iter().filter(is_measured) {
        let cells = costs.iter().flat_map(|cost| {
            let found = cost.phases.iter().find(|median| median.phase == *phase);
            let cell =
                |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2} s"));
            [cell(found.map(|median| median.seconds)), cell(found.map(|median| median.cpu_seconds))]
        });
        table.row(std::iter::once(phase.to_string()).chain(cells));
    }
    let mut last = |name: &str, cells: Vec<String>| table.row(std::iter::once(name.to_owned()).chain(cells));
    let sums = costs.iter().flat_map(|cost| [cost.seconds, cost.cpu_seconds]);
    last("total", sums.map(|sum| format!("{sum:.2} s")).collect());
    let ratios = costs.iter().flat_map(|cost| [cost.ratio, cost.cpu_ratio]);
    last("ratio", ratios.map(|ratio| format!("{ratio:.2}")).collect());
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_phases_that_a_way_has() {
        let cost = |phase: Phase, seconds| {
            phase.costs(&Cost { seconds, cpu_seconds: seconds / 2.0, first_cpu_seconds: 0.0, peak_bytes: 0 })
        };
        let way = |name, level, phase| Way {
            name,
            level,
            script: PathBuf::new(),
            tool: PathBuf::new(),
            card: None,
            rounds: vec![vec![cost(phase, f64::from(level)), cost(Phase::Check, 2.0)]],
        };
        let costs = costs(&[way("before", 10, Phase::Assemble), way("now", 3, Phase::Root)]);
        let expected = "\
PHASE     BEFORE   CPU     NOW     CPU
assemble  10.00 s  5.00 s  -       -
root      -        -       3.00 s  1.50 s
check     2.00 s   1.00 s  2.00 s  1.00 s
total     12.00 s  6.00 s  5.00 s  2.50 s
ratio     1.00     1.00    0.42    0.42";
        assert_eq!(edit_table(&costs).to_string(), expected);
    }
}
