//! The names in a flake's outputs. Listing them evaluates no configuration, and takes a fraction of a second.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HOSTS;
use super::outputs::{BrokenOutput, Outputs};
use crate::base::process::Launcher;
use crate::base::{FlakeRef, Silent};
use crate::nix::{self, EvalCache, Fingerprint};

/// The outputs that contain names of hosts.
const OUTPUTS: &[&str] = &["nixosConfigurations", "packages", "deploy", "images", "image"];

/// The names in the outputs of a flake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The packages, by system.
    pub packages: BTreeMap<String, Vec<String>>,
    /// The attributes of `images` and `image`.
    pub images: Vec<String>,
    /// The attribute paths of the NixOS configurations: `nixosConfigurations.NAME`, with a system between in some
    /// flakes.
    pub configurations: Vec<Vec<String>>,
    /// The deploy nodes.
    pub nodes: Vec<String>,
    /// The attribute paths of outputs that throw.
    pub broken: Vec<Vec<String>>,
}

impl Names {
    /// Reads the names of `flake`, with `options` for Nix, which keeps the lock as it is. Returns the names, and the
    /// outputs that cannot be read.
    ///
    /// A Nix that reads all outputs at once is recent enough; any other Nix is asked for its version.
    ///
    /// # Errors
    /// That of Nix where Nix can read no output; that of [`nix::require`] where Nix is too old.
    pub fn read(
        launcher: &Launcher,
        flake: &FlakeRef,
        options: &[String],
    ) -> Result<(Self, Vec<BrokenOutput>)> {
        let options = nix::with_keep_lock(options);
        let outputs = Outputs { launcher, flake, options: &options, reporter: &Silent };
        let error = match outputs.eval_all(&names_function()) {
            Ok(found) => {
                let names = parse(&found, flake)?;
                let broken = names.find_reasons(&outputs);
                return Ok((names, broken));
            }
            Err(error) => error,
        };
        nix::require(launcher)?;
        Self::read_each(&outputs, error)
    }

    /// Reads the names by one evaluation, with `options` for Nix. Unlike [`Self::read`], it starts Nix no second time
    /// to find out what fails.
    ///
    /// # Errors
    /// That of Nix.
    pub fn read_at_once(launcher: &Launcher, flake: &FlakeRef, options: &[String]) -> Result<Self> {
        let options = nix::with_keep_lock(options);
        let outputs = Outputs { launcher, flake, options: &options, reporter: &Silent };
        parse(&outputs.eval_all(&names_function())?, flake)
    }

    /// The names that an earlier evaluation of the flake with this fingerprint found; `None` where none are cached.
    pub fn from_cache(cache: &EvalCache, fingerprint: &Fingerprint) -> Option<Self> {
        Self::deserialize(cache.get(fingerprint, &names_function())?).ok()
    }

    /// Stores the names of `flake` for [`Self::from_cache`].
    pub fn store(&self, launcher: &Launcher, flake: &FlakeRef, cache: &EvalCache, fingerprint: &Fingerprint) {
        if let Ok(names) = serde_json::to_value(self) {
            cache.store(launcher, flake, fingerprint, &names_function(), names);
        }
    }

    /// Reads one output after the other, after `error` ended the evaluation of all. Where no output can be read,
    /// returns `error`.
    fn read_each(outputs: &Outputs, error: anyhow::Error) -> Result<(Self, Vec<BrokenOutput>)> {
        let Some(parts) = outputs.parts(&error) else { return Err(error) };
        let (answers, mut broken) = parts.eval_each(OUTPUTS, &names_function())?;
        let mut names = Self::default();
        for answer in answers {
            let found = parse(&answer, outputs.flake)?;
            broken.extend(found.find_reasons(outputs));
            names.extend(found);
        }
        if !broken.is_empty() && names == Self::default() {
            return Err(error);
        }
        Ok((names, broken))
    }

    /// The outputs that throw, each with its error, for which Nix evaluates it again.
    fn find_reasons(&self, outputs: &Outputs) -> Vec<BrokenOutput> {
        let reason = |path: &Vec<String>| {
            let error = outputs.eval_at(path, "builtins.attrNames").err()?;
            Some(BrokenOutput { path: path.clone(), error })
        };
        self.broken.iter().filter_map(reason).collect()
    }

    fn extend(&mut self, other: Self) {
        self.packages.extend(other.packages);
        self.images.extend(other.images);
        self.configurations.extend(other.configurations);
        self.nodes.extend(other.nodes);
    }
}

/// The Nix function from the outputs of a flake to its names.
pub fn names_function() -> String {
    format!("outputs: (({HOSTS}) outputs).names")
}

/// The names in `json`, which `hosts.nix` found in `flake`.
fn parse(json: &Value, flake: &FlakeRef) -> Result<Names> {
    Names::deserialize(json).with_context(|| format!("reading the names in {flake}"))
}
