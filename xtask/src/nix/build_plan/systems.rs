//! What derivations need of a machine that builds them, by `nix derivation show`.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::base::process::Launcher;
use crate::nix::{FEATURES, StorePath, System};

/// How many derivations one run of Nix is asked for: a command line has at most 128 KiB.
const BATCH: usize = 500;

/// The output of `nix derivation show`: the derivations by their paths, or below `derivations` by their names in the
/// store (from Nix 2.32 on).
#[derive(Deserialize)]
#[serde(untagged)]
enum Shown {
    Named { derivations: HashMap<String, Derivation> },
    Plain(HashMap<String, Derivation>),
}

/// The part of a derivation that matters here.
#[derive(Deserialize)]
struct Derivation {
    system: System,
    #[serde(default)]
    env: Value,
    /// From Nix 2.31 on; before, they are a text of the environment.
    #[serde(default, rename = "structuredAttrs")]
    attributes: Value,
}

/// What a machine must have that builds a derivation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needs {
    pub system: System,
    /// The features that the derivation requires, such as `big-parallel`.
    pub features: BTreeSet<String>,
}

impl Derivation {
    fn needs(self) -> Needs {
        const NAME: &str = "requiredSystemFeatures";
        let in_text = self.env["__json"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let structured = [&self.attributes, in_text.as_ref().unwrap_or(&Value::Null)]
            .into_iter()
            .flat_map(|attributes| attributes[NAME].as_array().into_iter().flatten())
            .filter_map(Value::as_str);
        let plain = self.env[NAME].as_str().unwrap_or_default().split_whitespace();
        Needs { features: structured.chain(plain).map(str::to_owned).collect(), system: self.system }
    }
}

/// What `derivations` need, by their names in the store. A derivation that Nix does not show is left out.
///
/// # Errors
/// That of Nix, and output that is no JSON of a known shape.
pub fn needs_of(launcher: &Launcher, derivations: &[StorePath]) -> Result<HashMap<String, Needs>> {
    let mut needs = HashMap::new();
    for batch in derivations.chunks(BATCH) {
        let fixed = FEATURES.into_iter().chain(["derivation", "show"]);
        let args = fixed.chain(batch.iter().map(StorePath::as_str)).collect::<Vec<_>>();
        needs.extend(parse(&launcher.read("nix", &args)?)?);
    }
    Ok(needs)
}

/// Parses the output of `nix derivation show`.
fn parse(json: &str) -> Result<HashMap<String, Needs>> {
    let shown = serde_json::from_str(json).context("reading the output of nix derivation show")?;
    let (Shown::Named { derivations } | Shown::Plain(derivations)) = shown;
    let name = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(derivations.into_iter().map(|(path, derivation)| (name(path), derivation.needs())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::recorded;

    #[test]
    fn the_systems_are_read_in_both_shapes() {
        let plain =
            r#"{"/nix/store/h-a.drv":{"args":[],"env":{},"name":"a","outputs":{},"system":"aarch64-linux"}}"#;
        let named =
            r#"{"derivations":{"h-a.drv":{"name":"a","system":"aarch64-linux","version":4}},"version":4}"#;
        for json in [plain, named] {
            let needs = parse(json).unwrap();
            assert_eq!(
                needs["h-a.drv"],
                Needs { system: "aarch64-linux".into(), features: [].into() },
                "{json}"
            );
        }
        assert!(parse("{}").unwrap().is_empty());
        assert!(parse("[]").is_err() && parse(r#"{"a":{}}"#).is_err());
    }

    #[test]
    fn the_system_of_each_version_is_read() {
        let needs = Needs { system: "aarch64-linux".into(), features: [].into() };
        let expected = HashMap::from([(recorded::DERIVATION.to_owned(), needs)]);
        for recorded in recorded::ALL {
            assert_eq!(parse(recorded.derivation).unwrap(), expected, "{}", recorded.release);
        }
    }

    #[test]
    fn the_features_are_read_in_every_shape() {
        for more in [
            r#""env":{"requiredSystemFeatures":"big-parallel kvm"}"#,
            r#""env":{"__json":"{\"requiredSystemFeatures\":[\"big-parallel\",\"kvm\"]}"}"#,
            r#""env":{},"structuredAttrs":{"requiredSystemFeatures":["big-parallel","kvm"]}"#,
        ] {
            let json = format!(r#"{{"/nix/store/h-a.drv":{{"system":"s",{more}}}}}"#);
            let features = ["big-parallel", "kvm"].map(str::to_owned).into();
            assert_eq!(parse(&json).unwrap()["h-a.drv"], Needs { system: "s".into(), features }, "{more}");
        }
    }

    #[test]
    fn fuzz() {
        let json = r#"{"/nix/store/h-a.drv":{"system":"aarch64-linux"}}"#;
        crate::base::fuzz::check_text(&[json], |text| parse(text).is_ok());
    }
}
