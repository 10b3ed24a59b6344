//! The plan of `bench flash`: the cases, the rounds and the peers.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZero;

use anyhow::{Context as _, Result};

use super::cases::Case;
use super::fixtures::Fixtures;
use super::peers::{Job, Peer, tool_pipeline};
use super::runner::{Competitor, Runner};
use super::samples::{Measurements, TOOL};
use super::virtual_card::BenchCard;
use crate::base::Context;
use crate::base::interrupt::{self, SignalGuard};

/// The plan of a run: the cases to measure. `Display` shows the plan to the user.
pub struct Plan {
    pub cases: Vec<&'static Case>,
    pub rounds: NonZero<u32>,
    /// The `--mode` of the tool; `None` for its default.
    pub mode: Option<String>,
}

/// The size of the card for `case`, in bytes: larger than the image, as usual.
pub fn card_size(case: &Case) -> u64 {
    case.image.size() + (512 << 20)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cases = self.cases.iter().map(|case| format!("\n  {}: {}", case.name, case.about));
        write!(f, "rounds of each case: {}{}", self.rounds, cases.collect::<String>())
    }
}

impl Plan {
    /// Measures all cases. Peers that are missing or fail are left out with a warning.
    ///
    /// # Errors
    /// A failure of the tool, a card that does not hold the image after the tool has written it, and Ctrl-C.
    pub fn run(&self, cx: &Context) -> Result<Vec<Measurements>> {
        let signals = interrupt::guard()?;
        let mut fixtures = Fixtures::new(cx, &signals)?;
        for text in self.absent_peers(cx) {
            cx.warn(format!("NOT RUN: {text}"));
        }
        let measured = self.cases.iter().map(|case| {
            let measured = self.measure_case(cx, &signals, &mut fixtures, case);
            measured.with_context(|| format!("measuring the case '{}'", case.name))
        });
        measured.collect()
    }

    /// Texts about the missing peers of all cases, with how to install them.
    pub fn absent_peers(&self, cx: &Context) -> BTreeSet<String> {
        let peers = self.cases.iter().flat_map(|case| case.peers);
        peers.filter_map(|peer| peer.missing_program(&cx.launcher)).collect()
    }

    /// Measures `case` on a new virtual card.
    fn measure_case(
        &self,
        cx: &Context,
        signals: &SignalGuard,
        fixtures: &mut Fixtures,
        case: &'static Case,
    ) -> Result<Measurements> {
        let card = BenchCard::make(cx, card_size(case), case.speed)?;
        if let Some(speed) = case.speed {
            card.check_speed(cx, speed)?;
        }
        let image_file = fixtures.compressed_file(case.image)?;
        let job = Job { image: image_file, device: card.path().to_owned(), device_size: card.size() };
        let is_present = |peer: &&&Peer| peer.missing_program(&cx.launcher).is_none();
        let peers = case.peers.iter().filter(is_present).copied().collect::<Vec<_>>();
        if peers.iter().any(|peer| peer.uses("bmaptool")) {
            fixtures.make_block_map(case.image, &job)?;
        }
        let tool_itself = Competitor { name: TOOL, pipeline: tool_pipeline(&job, self.mode.as_deref())? };
        let others = peers.iter().map(|peer| Competitor { name: peer.name, pipeline: (peer.pipeline)(&job) });
        let before = case.image_before().map(|variant| fixtures.image(variant)).transpose()?;
        let image = fixtures.image(case.image)?;
        let state = fixtures.state_folder();
        let runner = Runner { cx, signals, case, card: &card, job: &job, before, image, state };
        runner.run(std::iter::once(tool_itself).chain(others).collect(), self.rounds)
    }
}
