//! The remote builders of a build: all are asked before it, at once and for at most 5 seconds, so that Nix is not left
//! to wait for one that does not answer.

use std::collections::BTreeSet;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::systems::Needs;
use crate::base::{Context, Event};
use crate::nix::Config;
use crate::nix::emulation::{self, Answer, Builder};

/// The remote builders for the systems of a build.
#[derive(Debug, Default)]
pub struct AskedBuilders {
    live: Vec<Builder>,
    pub dead: Vec<DeadBuilder>,
}

/// A remote builder that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DeadBuilder {
    /// The address of its store.
    pub address: String,
    /// Why it cannot be used: `does not answer: …`.
    pub reason: String,
}

impl AskedBuilders {
    /// Asks the builders of `config` that build for one of `systems`. If the builders `are_of_this_run`, as the user
    /// has named them for it, the others are asked too, and a warning names each.
    ///
    /// # Errors
    /// `Interrupted` if the user stops the probes.
    pub fn ask(
        cx: &Context,
        config: &Config,
        systems: &BTreeSet<&str>,
        are_of_this_run: bool,
    ) -> Result<Self> {
        let is_wanted = |builder: &Builder| systems.iter().any(|system| builder.builds_for(system));
        let (wanted, idle): (Vec<_>, Vec<_>) =
            emulation::read_builders(config).into_iter().partition(is_wanted);
        let named = if are_of_this_run { idle } else { Vec::new() };
        let mut asked = Self::default();
        for (builder, answer) in emulation::probe_all(&cx.launcher, [wanted, named].concat())? {
            match answer {
                answer if !is_wanted(&builder) => warn_of_idle(cx, &builder, &answer, systems),
                Answer::Fails(reason) => asked.dead.push(DeadBuilder { address: builder.address, reason }),
                Answer::Builds | Answer::ForDaemon => asked.live.push(builder),
            }
        }
        Ok(asked)
    }

    /// Whether a builder that answers takes a derivation with these `needs`.
    pub fn take(&self, needs: &Needs) -> bool {
        self.live.iter().any(|builder| builder.takes(&needs.system, &needs.features))
    }

    /// Warns of `needs` that builders which answer do not take for want of a feature alone: Nix builds such a
    /// derivation here, or not at all.
    pub fn warn_of_features(&self, cx: &Context, needs: &Needs) {
        let Some(builder) = self.live.iter().find(|builder| builder.builds_for(&needs.system)) else {
            return;
        };
        if self.take(needs) || needs.features.is_empty() {
            return;
        }
        let features = needs.features.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let system = &needs.system;
        cx.reporter.report(&Event::warning_with_hint(
            format!("no remote builder for {system} takes builds that need {features}"),
            format!(
                "where a builder has that, say so in its line: `{} {system} - - - {features}`",
                builder.address
            ),
        ));
    }

    /// The options for Nix that name the builders that answer; none where all do.
    pub fn options(&self) -> Vec<String> {
        if self.dead.is_empty() {
            return Vec::new();
        }
        let lines = self.live.iter().map(|builder| builder.line.as_str()).collect::<Vec<_>>();
        vec!["--builders".to_owned(), lines.join(" ; ")]
    }
}

/// Warns of a builder of this run that builds for none of `systems`, and of its `answer` where that is a fault.
fn warn_of_idle(cx: &Context, builder: &Builder, answer: &Answer, systems: &BTreeSet<&str>) {
    let name = builder.name();
    let needed = systems.iter().copied().collect::<Vec<_>>().join(", ");
    let built = builder.systems.join(", ");
    cx.warn(format!(
        "the remote builder `{name}` builds for {built}, and nothing of this: {needed} is needed"
    ));
    if let Answer::Fails(reason) = answer {
        cx.warn(format!("the remote builder `{name}` {reason}"));
    }
}
