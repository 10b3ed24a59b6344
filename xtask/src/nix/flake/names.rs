//! The names in a flake's outputs. Listing them evaluates no configuration, and takes a fraction of a second.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::HOSTS;
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
    /// The outputs that throw.
    pub broken: Vec<String>,
}

/// An output whose names cannot be read, and why.
#[derive(Debug)]
pub struct BrokenOutput {
    pub name: String,
    pub error: anyhow::Error,
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
        let eval =
            |attribute: &str, apply: &str| nix::eval(launcher, flake, attribute, apply, &options, &Silent);
        let error = match eval(nix::ALL_OUTPUTS, &names_function()) {
            Ok(found) => {
                let names = parse(&found, flake)?;
                let broken = names.find_reasons(&eval);
                return Ok((names, broken));
            }
            Err(error) => error,
        };
        nix::require(launcher)?;
        // Nix 2.18 cannot evaluate all outputs at once, and some errors of one output end the evaluation of all.
        if !nix::is_missing_attribute(&error) && !nix::is_evaluation_error(&error) {
            return Err(error);
        }
        Self::read_each(&eval, flake, error)
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

    /// Reads one output after the other by `eval`, a function of an attribute and of the Nix function for it. Where no
    /// output can be read, returns `all_error`, the error of reading all outputs at once.
    fn read_each(
        eval: &dyn Fn(&str, &str) -> Result<Value>,
        flake: &FlakeRef,
        all_error: anyhow::Error,
    ) -> Result<(Self, Vec<BrokenOutput>)> {
        let mut names = Self::default();
        let mut broken = Vec::new();
        for output in OUTPUTS {
            match eval(output, &format!("value: (({HOSTS}) {{ {output} = value; }}).names")) {
                Ok(found) => {
                    let found = parse(&found, flake)?;
                    broken.extend(found.find_reasons(eval));
                    names.extend(found);
                }
                Err(error) if nix::is_missing_attribute(&error) => {}
                Err(error) => broken.push(BrokenOutput { name: (*output).to_owned(), error }),
            }
        }
        if !broken.is_empty() && names == Self::default() {
            return Err(all_error);
        }
        Ok((names, broken))
    }

    /// The outputs that throw, each with its error, which `eval` finds.
    fn find_reasons(&self, eval: &dyn Fn(&str, &str) -> Result<Value>) -> Vec<BrokenOutput> {
        let reason = |name: &String| {
            let error = eval(name, "builtins.attrNames").err()?;
            Some(BrokenOutput { name: name.clone(), error })
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
fn names_function() -> String {
    format!("outputs: (({HOSTS}) outputs).names")
}

/// The names in `json`, which `hosts.nix` found in `flake`.
fn parse(json: &Value, flake: &FlakeRef) -> Result<Names> {
    Names::deserialize(json).with_context(|| format!("reading the names in {flake}"))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;
    use serde_json::json;

    use super::*;

    /// A Nix that evaluates one output at once, on a flake whose deploy nodes throw.
    fn eval_one(attribute: &str, _apply: &str) -> Result<Value> {
        let empty = Names::default();
        let names = match attribute {
            "packages" => Names { packages: [("s".to_owned(), vec!["p".to_owned()])].into(), ..empty },
            "deploy" => Names { broken: vec!["deploy.nodes".to_owned()], ..empty },
            "deploy.nodes" => bail!("thrown"),
            _ => bail!("flake 'F' does not provide attribute '{attribute}'"),
        };
        Ok(json!(names))
    }

    #[test]
    fn a_part_of_an_output_that_throws_is_reported() {
        let all_error = anyhow::anyhow!("flake 'F' does not provide attribute '.'");
        let (names, broken) = Names::read_each(&eval_one, &FlakeRef::of_url("F"), all_error).unwrap();
        assert_eq!(names.packages["s"], ["p"]);
        let reasons = broken.iter().map(|output| (output.name.as_str(), output.error.to_string()));
        assert_eq!(reasons.collect::<Vec<_>>(), [("deploy.nodes", "thrown".to_owned())]);
    }
}
