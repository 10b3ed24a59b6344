//! The plan of a run: which cases, how often, and which peers.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZero;

use anyhow::{Context as _, Result};

use super::cases::Case;
use super::fixtures::Fixtures;
use super::peers::{Job, Peer, tool};
use super::runner::{Competitor, Runner};
use super::samples::{Measurements, TOOL};
use super::virtual_card::Card;
use crate::base::Context;
use crate::base::interrupt::{self, SignalGuard};

/// What is going to be measured.
pub struct Plan {
    pub cases: Vec<&'static Case>,
    pub rounds: NonZero<u32>,
    /// How the tool is told to write; nothing leaves that to the tool.
    pub mode: Option<String>,
}

/// The size in bytes of the card for `case`: more than the image, as cards are.
pub fn room(case: &Case) -> u64 {
    case.image.size() + (512 << 20)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cases = self.cases.iter().map(|case| format!("\n  {}: {}", case.name, case.about));
        write!(f, "rounds of each case: {}{}", self.rounds, cases.collect::<String>())
    }
}

impl Plan {
    /// Measures all cases. Peers that are missing or fail are named in warnings and left out.
    ///
    /// # Errors
    /// The tool failed, or a card did not hold the image after it; and a request to stop.
    pub fn run(&self, cx: &Context) -> Result<Vec<Measurements>> {
        let hold = interrupt::guard()?;
        let mut fixtures = Fixtures::new(cx, &hold)?;
        self.absent(cx).iter().for_each(|text| cx.warn(format!("NOT RUN: {text}")));
        let measured = self.cases.iter().map(|case| {
            let measured = self.measure(cx, &hold, &mut fixtures, case);
            measured.with_context(|| format!("measuring the case '{}'", case.name))
        });
        measured.collect()
    }

    /// The peers of any case that this machine does not have, and how to get them.
    pub fn absent(&self, cx: &Context) -> BTreeSet<String> {
        let peers = self.cases.iter().flat_map(|case| case.peers);
        peers.filter_map(|peer| peer.missing(&cx.launcher)).collect()
    }

    fn measure(
        &self,
        cx: &Context,
        hold: &SignalGuard,
        fixtures: &mut Fixtures,
        case: &'static Case,
    ) -> Result<Measurements> {
        let card = Card::make(cx, room(case), case.speed)?;
        if let Some(speed) = case.speed {
            card.try_speed(cx, speed)?;
        }
        let job =
            Job { image: fixtures.file(case.image)?, device: card.path().to_owned(), room: card.size() };
        let there = |peer: &&&Peer| peer.missing(&cx.launcher).is_none();
        let peers = case.peers.iter().filter(there).copied().collect::<Vec<_>>();
        if peers.iter().any(|peer| peer.uses("bmaptool")) {
            fixtures.map(case.image, &job)?;
        }
        let own = Competitor { name: TOOL, pipeline: tool(&job, self.mode.as_deref())? };
        let others = peers.iter().map(|peer| Competitor { name: peer.name, pipeline: (peer.pipeline)(&job) });
        let held = case.held().map(|variant| fixtures.image(variant)).transpose()?;
        let image = fixtures.image(case.image)?;
        let contest = Runner { cx, hold, case, card: &card, job: &job, held, image, state: fixtures.state() };
        contest.run(std::iter::once(own).chain(others).collect(), self.rounds)
    }
}
