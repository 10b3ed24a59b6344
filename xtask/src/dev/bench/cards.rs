//! `bench cards`: one image written to several SD-like cards at once, against the same image written to one of them.

use std::ffi::OsString;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::fixtures::Fixtures;
use super::image::{Image, Variant};
use super::preflight::require_memory_and_throttle;
use super::samples::median;
use super::stats::Row;
use super::throttle::SD;
use super::virtual_card::BenchCard;
use crate::base::failure::ExitKind;
use crate::base::interrupt::{self, SignalGuard};
use crate::base::process::Cost;
use crate::base::{Bytes, Context, Silent};
use crate::card::image::{self, CheckCache, Source};

/// The limit of the time of all cards, as a multiple of that of one card.
const MAX_TIME_RATIO: f64 = 1.25;
/// The limit of the memory of all processes, in bytes: of the tool, and of each card.
const MAX_MEMORY: u64 = 40 << 20;
const MAX_MEMORY_OF_CARD: u64 = 8 << 20;
/// How much larger a card is than its image, in bytes.
const REST_OF_CARD: u64 = 64 << 20;

/// Writes an image of 512 MiB to one blank card and to `count` of them, in each of the `rounds`.
///
/// # Errors
/// `Permission` and `Refused` where something is missing, a failure of the tool, a card that does not hold the image
/// afterwards, and Ctrl-C.
pub fn cards(cx: &Context, count: NonZero<u32>, rounds: NonZero<u32>) -> Result<Vec<Row>> {
    let size = Variant::Base.size() + REST_OF_CARD;
    require_memory_and_throttle(cx, size * u64::from(count.get()))?;
    let signals = &interrupt::guard()?;
    let mut fixtures = Fixtures::new(cx, signals)?;
    let file = fixtures.compressed_file(Variant::Base)?;
    let image = fixtures.image(Variant::Base)?;
    let state = fixtures.state_folder();
    let cards = (0..count.get()).map(|_| BenchCard::make(cx, size, Some(SD))).collect::<Result<Vec<_>>>()?;
    if let Some(card) = cards.first() {
        card.check_speed(cx, SD)?;
    }
    image::examine_once(Source::open(&file)?, &CheckCache::new(&state), &Silent)?;
    let runs = Runs { cx, signals, file, image, state };
    let mut of_one = Vec::new();
    let mut of_all = Vec::new();
    for round in 1..=rounds.get() {
        for (cards, costs) in [(&cards[..1], &mut of_one), (&cards[..], &mut of_all)] {
            let cost = runs.run(cards)?;
            let Cost { seconds, cpu_seconds, peak_bytes, .. } = cost;
            cx.note(format!(
                "{round}/{rounds}: {} at once: {seconds:.2} s, CPU {cpu_seconds:.2} s, memory {}",
                cards.len(),
                Bytes(peak_bytes)
            ));
            costs.push(cost);
        }
    }
    Ok(rows(count, &of_one, &of_all))
}

/// The shared values of all runs.
struct Runs<'a> {
    cx: &'a Context,
    signals: &'a SignalGuard,
    /// The compressed image.
    file: PathBuf,
    image: Image,
    /// The state folder of the tool during the runs.
    state: PathBuf,
}

impl Runs<'_> {
    /// Writes the image to `cards` at once, verifies each of them, and returns the cost.
    fn run(&self, cards: &[BenchCard]) -> Result<Cost> {
        self.signals.check()?;
        cards.iter().try_for_each(|card| card.prepare(self.cx, |_| Ok(())))?;
        let launcher = self.cx.launcher.clone().with_env("XTASK_STATE", &self.state);
        let measured = launcher.measure(&[command(&self.file, cards)?])?;
        if measured.code != 0 {
            let last = measured.stderr.trim().lines().next_back().unwrap_or_default();
            let text = format!("the tool failed with exit code {}: {last}", measured.code);
            return Err(ExitKind::from_code(measured.code.try_into().unwrap_or(1)).error(text));
        }
        for card in cards {
            card.verify(&self.image).context("verifying the card after the tool reported success")?;
        }
        Ok(measured.cost)
    }
}

/// The command line of the tool.
fn command(file: &Path, cards: &[BenchCard]) -> Result<Vec<OsString>> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut words = vec![program.into(), "flash".into(), "--image".into(), file.into()];
    for card in cards {
        words.extend(["--to".into(), card.path().into()]);
    }
    let size = cards.first().map_or(0, BenchCard::size).to_string();
    let options = ["--allow-virtual", "--yes", "--no-eject", "--json", "--expect-size", &size];
    words.extend(options.map(OsString::from));
    Ok(words)
}

/// The rows with the medians of all rounds.
fn rows(count: NonZero<u32>, of_one: &[Cost], of_all: &[Cost]) -> Vec<Row> {
    let median_of = |costs: &[Cost], read: fn(&Cost) -> f64| median(costs.iter().map(read).collect());
    let seconds = |cost: &Cost| cost.seconds;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let peak = |cost: &Cost| cost.peak_bytes as f64;
    let time = Row::of_times(
        "cards",
        "one card",
        median_of(of_all, seconds),
        median_of(of_one, seconds),
        Some(MAX_TIME_RATIO),
    );
    let limit = MAX_MEMORY + MAX_MEMORY_OF_CARD * u64::from(count.get());
    vec![time, Row::of_memory("cards", median_of(of_all, peak), limit)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bench::stats::table;

    #[test]
    fn the_rows_compare_all_cards_with_one() {
        let cost = |seconds, mib: u64| Cost {
            seconds,
            cpu_seconds: 1.0,
            first_cpu_seconds: 1.0,
            peak_bytes: mib << 20,
        };
        let rows = rows(8.try_into().unwrap(), &[cost(20.0, 30), cost(22.0, 30)], &[cost(25.2, 100)]);
        let expected = "\
CASE   MEASURED  AGAINST   TOOL       PEER     RATIO  AT MOST    KEPT
cards  time      one card  25.20 s    21.00 s  1.20   1.25       yes
cards  memory    -         100.0 MiB  -        -      104.0 MiB  yes";
        assert_eq!(table(&rows).to_string(), expected);
    }
}
