//! The plans that commands show, for programs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::up::PlannedStep;
use crate::base::HostName;
use crate::card::disk::Disk;
use crate::card::flash::{Mode, Plan};
use crate::card::image::ImageFacts;
use crate::deploy::HostResult;
use crate::identity::{Identity, KeyOrigin, LoginKeys, UserKey};
use crate::nix::Revision;
use crate::qemu::Machine;

/// What a command is about to do.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PlanFacts {
    /// A card is written.
    Flash(Box<FlashPlan>),
    /// A host is deployed to; the fields are those of the result of `deploy`.
    Deploy(Box<HostResult>),
    /// Derivations are built and paths are fetched.
    #[cfg(test)]
    #[expect(dead_code, reason = "`nix` reports this plan itself; the schema has this")]
    Build(Box<crate::nix::BuildPlan>),
    /// The user decides about a trial; the fields are those of the result of `deploy`.
    Decision(Box<HostResult>),
    /// The generation that a restored card gets.
    Generation {
        /// The system that the host had last, if a receipt names it.
        system: Option<String>,
        revision: Option<Revision>,
    },
    /// A card or an image is booted.
    Boot {
        /// Its name for people.
        name: String,
        machine: Machine,
        timeout_seconds: u64,
    },
    /// The files of a new host are written; their paths are relative to the folder of the flake.
    NewHost { host: String, new_files: Vec<PathBuf>, changed_files: Vec<PathBuf> },
    /// A host is taken from the flake to a running machine.
    Up { host: HostName, steps: Vec<PlannedStep> },
    /// Programs are measured.
    #[cfg(feature = "dev")]
    Bench { rounds: u32, cases: Vec<&'static str> },
    /// What this machine lacks is installed.
    #[cfg(test)]
    #[expect(dead_code, reason = "`setup` reports its plan itself; the schema has this")]
    Setup { steps: Vec<String> },
}

/// The identity of a card.
#[derive(Serialize, JsonSchema)]
pub struct CardIdentity {
    pub host: HostName,
    /// `SHA256:…`; `None` for a key that is not made yet.
    fingerprint: Option<String>,
    origin: KeyOrigin,
}

impl CardIdentity {
    /// The identity on a written card.
    pub fn written(Identity { host, fingerprint, origin }: Identity) -> Self {
        Self { host, fingerprint: Some(fingerprint), origin }
    }

    /// The identity that a card is to get.
    pub fn planned(identity: Identity) -> Self {
        let is_made = identity.origin != KeyOrigin::New;
        let written = Self::written(identity);
        Self { fingerprint: written.fingerprint.filter(|_| is_made), ..written }
    }
}

/// A card that is about to be written.
#[derive(Serialize, JsonSchema)]
pub struct FlashPlan {
    disk: Disk,
    image: ImageFacts,
    /// The host whose identity the card gets.
    host: Option<HostName>,
    mode: Mode,
    identity: Option<CardIdentity>,
    /// The paths that the card gets beside the image, relative to the folder of the payload.
    paths: Vec<String>,
    /// The keys by which users log in; `None` where they are unknown.
    #[schemars(with = "Option<Vec<UserKey>>")]
    login_keys: Option<LoginKeys>,
    /// The mount points from which the card is unmounted first.
    unmount: Vec<PathBuf>,
}

impl From<&Plan> for PlanFacts {
    fn from(plan: &Plan) -> Self {
        let payload = plan.payload.as_ref().map(|payload| &payload.content);
        let identity = payload.and_then(|payload| payload.identity.clone()).map(CardIdentity::planned);
        let entries = payload.map_or(&[][..], |payload| &payload.entries);
        Self::Flash(Box::new(FlashPlan {
            disk: plan.disk.clone(),
            image: ImageFacts::from(&plan.image),
            host: identity.as_ref().map(|identity| identity.host.clone()),
            mode: plan.mode,
            identity,
            paths: entries.iter().map(|entry| entry.path.clone()).collect(),
            login_keys: plan.login_keys.clone(),
            unmount: plan.unmount.clone(),
        }))
    }
}
