//! Runs the rounds of one case: in each round the tool and its peers in turn, each on a freshly prepared card.

use std::fs::File;
use std::num::NonZero;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::cases::{Case, ImageCheck, InitialContent};
use super::image::Image;
use super::peers::{Job, Pipeline};
use super::samples::{Measurements, TOOL};
use super::virtual_card::BenchCard;
use crate::base::failure::{self, ExitKind};
use crate::base::interrupt::SignalGuard;
use crate::base::process::Cost;
use crate::base::{Bytes, Context, Event, Silent};
use crate::card::image::{self, CheckCache, Source};

/// A competitor: the tool or a peer, with its command line.
pub struct Competitor {
    pub name: &'static str,
    pub pipeline: Pipeline,
}

/// The shared values of all runs of one case.
pub struct Runner<'a> {
    pub cx: &'a Context,
    pub signals: &'a SignalGuard,
    pub case: &'static Case,
    pub card: &'a BenchCard,
    pub job: &'a Job,
    /// The image that is on the card before each run; `None` where the card has none.
    pub before: Option<Image>,
    /// The image to write.
    pub image: Image,
    /// The state folder of the tool during the runs.
    pub state: PathBuf,
}

impl Runner<'_> {
    /// Runs all `competitors` in each of the `rounds`. A peer that fails is left out with a warning.
    pub fn run(&self, mut competitors: Vec<Competitor>, rounds: NonZero<u32>) -> Result<Measurements> {
        let mut measured = Measurements::new(self.case);
        for round in 1..=rounds.get() {
            let mut remaining = Vec::new();
            for competitor in competitors {
                let label = format!("{} {round}/{rounds}: {}", self.case.name, competitor.name);
                match self.run_one(&competitor) {
                    Ok(cost) => {
                        self.cx.note(format!("{label}: {}", describe_cost(&cost)));
                        measured.add(competitor.name, cost);
                        remaining.push(competitor);
                    }
                    Err(error) if is_final(&competitor, &error) => return Err(error),
                    Err(error) => {
                        self.cx.warn(format!("NOT RUN: {label}: {error:#}"));
                        measured.remove(competitor.name);
                    }
                }
            }
            competitors = remaining;
        }
        Ok(measured)
    }

    /// Runs `competitor` once on a freshly prepared card, and returns the cost.
    fn run_one(&self, competitor: &Competitor) -> Result<Cost> {
        self.signals.check()?;
        self.prepare_card()?;
        self.read_image_file()?;
        self.prepare_check_cache()?;
        let launcher = self.cx.launcher.clone().with_env("XTASK_STATE", &self.state);
        let measured = launcher.measure(&competitor.pipeline)?;
        if measured.code != 0 {
            let reason = last_error(&measured.stderr);
            let text = format!("{} failed with exit code {}: {reason}", competitor.name, measured.code);
            return Err(ExitKind::from_code(measured.code.try_into().unwrap_or(1)).error(text));
        }
        if competitor.name == TOOL {
            self.card.verify(&self.image).context("verifying the card after the tool reported success")?;
        }
        Ok(measured.cost)
    }

    /// Adds the image to the check cache of the tool, or clears the cache, as the case demands.
    fn prepare_check_cache(&self) -> Result<()> {
        let cache = CheckCache::new(&self.state);
        match self.case.image_check {
            ImageCheck::NotCached => cache.clear(),
            ImageCheck::Cached => {
                image::examine_once(Source::open(&self.job.image)?, &cache, &Silent).map(drop)
            }
        }
    }

    /// Gives the card the content that the case begins with.
    fn prepare_card(&self) -> Result<()> {
        self.card.prepare(self.cx, |store| match self.case.before {
            InitialContent::Blank => Ok(()),
            InitialContent::OldData => store.fill_with_old_data(),
            InitialContent::Image(_) => {
                store.fill_with_old_data()?;
                self.before.iter().try_for_each(|image| store.write_image(image))
            }
        })
    }

    /// Reads the image file, so that it is in the page cache.
    fn read_image_file(&self) -> Result<()> {
        let doing = || format!("reading {}", self.job.image.display());
        let mut file = File::open(&self.job.image).with_context(doing)?;
        std::io::copy(&mut file, &mut std::io::sink()).map(drop).with_context(doing)
    }
}

/// Whether `error` ends the measuring: the tool has failed, or the user asked to stop.
fn is_final(competitor: &Competitor, error: &anyhow::Error) -> bool {
    competitor.name == TOOL || failure::kind(error) == ExitKind::Interrupted
}

/// The last line of `stderr`; for the tool, which reports events, the message of its last event.
fn last_error(stderr: &str) -> String {
    let line = stderr.trim().lines().next_back().unwrap_or_default();
    match serde_json::from_str(line) {
        Ok(Event::Failed(report)) => report.message,
        _ => line.to_owned(),
    }
}

/// The text about a cost for people.
fn describe_cost(cost: &Cost) -> String {
    let Cost { seconds, cpu_seconds, peak_bytes, .. } = cost;
    format!("{seconds:.2} s, CPU {cpu_seconds:.2} s, memory {}", Bytes(*peak_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_or_event_is_the_reason_of_a_failure() {
        let failed = r#"{"schema":1,"time":"2026-11-25T12:00:00Z","host":null,"event":"failed","code":5,"kind":"io","message":"no card","hint":null,"reasons":[]}"#;
        for (stderr, expected) in [
            ("", ""),
            ("dd: one\ndd: two\n", "dd: two"),
            (&format!("{{\"event\":\"phase_ended\"}}\n{failed}\n"), "no card"),
        ] {
            assert_eq!(last_error(stderr), expected);
        }
    }
}
