//! What Nix knows of a flake without evaluating it: `nix flake metadata`.

use serde_json::Value;

use super::fingerprint::Fingerprint;
use super::revision::Revision;
use super::{FEATURES, KEEP_LOCK};
use crate::base::FlakeRef;
use crate::base::process::{Bounds, Launcher, Output};

/// The most bytes that are read of what Nix prints about a flake.
const MAX_BYTES: u64 = 64 << 20;

/// The metadata of a flake as it was when they were read.
pub struct Metadata {
    text: String,
    parsed: Value,
}

impl Metadata {
    /// The metadata of `flake` as it is now; `None` where Nix cannot read them.
    pub fn read(launcher: &Launcher, flake: &FlakeRef) -> Option<Self> {
        let args = [&FEATURES[..], &["flake", "metadata", "--json", KEEP_LOCK, flake.as_str()]].concat();
        let bounds = Bounds { output: MAX_BYTES, time: launcher.evaluation_limit().duration() };
        let read = || launcher.run_bounded("nix", &args, bounds, &|| Ok(()));
        let text = launcher.run_protected(read).ok().filter(Output::success)?.stdout;
        let parsed = serde_json::from_str(&text).ok()?;
        Some(Self { text, parsed })
    }

    /// The git revision of `flake`; `None` where no commit identifies it.
    pub fn revision(&self, flake: &FlakeRef) -> Option<Revision> {
        Revision::from_metadata(&self.parsed, flake)
    }

    /// The fingerprint of the flake; `None` where Nix does not identify its content.
    pub fn fingerprint(&self, launcher: &Launcher) -> Option<Fingerprint> {
        Fingerprint::from_metadata(launcher, &self.text, &self.parsed)
    }
}
