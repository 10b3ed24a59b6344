//! The rounds of one case: in each the tool and its peers in turn, each on a card that was prepared anew.

use std::fs::File;
use std::num::NonZero;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::cases::{Before, Case, Met};
use super::image::Image;
use super::peers::{Job, Pipeline};
use super::samples::{Measurements, TOOL};
use super::virtual_card::Card;
use crate::base::failure::{self, ExitKind};
use crate::base::interrupt::SignalGuard;
use crate::base::process::Cost;
use crate::base::{Bytes, Context, Event, Silent};
use crate::card::image::{self, CheckCache, Source};

/// One who takes part.
pub struct Competitor {
    pub name: &'static str,
    pub pipeline: Pipeline,
}

/// All that the runs of one case share.
pub struct Runner<'a> {
    pub cx: &'a Context,
    pub hold: &'a SignalGuard,
    pub case: &'static Case,
    pub card: &'a Card,
    pub job: &'a Job,
    /// What the card holds before, if that is an image, and afterwards.
    pub held: Option<Image>,
    pub image: Image,
    /// Where the tool keeps its receipts meanwhile.
    pub state: PathBuf,
}

impl Runner<'_> {
    /// Lets all `contenders` run in each of the `rounds`. A peer that fails is named and left out.
    pub fn run(&self, mut contenders: Vec<Competitor>, rounds: NonZero<u32>) -> Result<Measurements> {
        let mut measured = Measurements::new(self.case);
        for round in 1..=rounds.get() {
            let mut left = Vec::new();
            for competitor in contenders {
                let place = format!("{} {round}/{rounds}: {}", self.case.name, competitor.name);
                match self.run_one(&competitor) {
                    Ok(cost) => {
                        self.cx.note(format!("{place}: {}", shown(&cost)));
                        measured.note(competitor.name, cost);
                        left.push(competitor);
                    }
                    Err(error) if is_final(&competitor, &error) => return Err(error),
                    Err(error) => {
                        self.cx.warn(format!("NOT RUN: {place}: {error:#}"));
                        measured.forget(competitor.name);
                    }
                }
            }
            contenders = left;
        }
        Ok(measured)
    }

    fn run_one(&self, competitor: &Competitor) -> Result<Cost> {
        self.hold.check()?;
        self.prepare()?;
        self.remind()?;
        let launcher = self.cx.launcher.clone().with_env("XTASK_STATE", &self.state);
        let measured = launcher.measure(&competitor.pipeline)?;
        if measured.code != 0 {
            let said = last_words(&measured.stderr);
            let text = format!("{} failed with exit code {}: {said}", competitor.name, measured.code);
            return Err(ExitKind::from_code(measured.code.try_into().unwrap_or(1)).error(text));
        }
        if competitor.name == TOOL {
            let text = "the tool said that the card holds the image";
            self.card.prove(&self.image).context(text)?;
        }
        Ok(measured.cost)
    }

    /// Lets the tool have met the image file before, or not.
    fn remind(&self) -> Result<()> {
        let known = CheckCache::new(&self.state);
        match self.case.met {
            Met::Never => known.clear(),
            Met::Before => image::examine_once(Source::open(&self.job.image)?, &known, &Silent).map(drop),
        }
    }

    /// Brings the card into the state that the case is about, and the image file into memory.
    fn prepare(&self) -> Result<()> {
        self.card.prepare(self.cx, |memory| match self.case.before {
            Before::Blank => Ok(()),
            Before::OldData => memory.fill(),
            Before::Holds(_) => {
                memory.fill()?;
                self.held.iter().try_for_each(|image| memory.hold(image))
            }
        })?;
        let doing = || format!("reading {}", self.job.image.display());
        let mut file = File::open(&self.job.image).with_context(doing)?;
        std::io::copy(&mut file, &mut std::io::sink()).map(drop).with_context(doing)
    }
}

/// Whether nothing more is to be measured: the tool has failed, or the user wants to stop.
fn is_final(competitor: &Competitor, error: &anyhow::Error) -> bool {
    competitor.name == TOOL || failure::kind(error) == ExitKind::Interrupted
}

/// The last line of `stderr`; of the tool, which tells events, what the last one says.
fn last_words(stderr: &str) -> String {
    let line = stderr.trim().lines().next_back().unwrap_or_default();
    match serde_json::from_str(line) {
        Ok(Event::Failed { message, .. }) => message,
        _ => line.to_owned(),
    }
}

fn shown(cost: &Cost) -> String {
    let Cost { seconds, cpu_seconds, peak_bytes, .. } = cost;
    format!("{seconds:.2} s, CPU {cpu_seconds:.2} s, memory {}", Bytes(*peak_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_program_failed() {
        for (stderr, expected) in [
            ("", ""),
            ("dd: one\ndd: two\n", "dd: two"),
            ("{\"event\":\"over\"}\n{\"event\":\"failed\",\"code\":5,\"message\":\"no card\"}\n", "no card"),
        ] {
            assert_eq!(last_words(stderr), expected);
        }
    }
}
