//! The systems of derivations, by `nix derivation show`.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde::Deserialize;

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
}

/// The systems for which `derivations` are built, by their names in the store. A derivation that Nix does not show is
/// left out.
///
/// # Errors
/// That of Nix, and output that is no JSON of a known shape.
pub fn systems_of(launcher: &Launcher, derivations: &[StorePath]) -> Result<HashMap<String, System>> {
    let mut systems = HashMap::new();
    for batch in derivations.chunks(BATCH) {
        let fixed = FEATURES.into_iter().chain(["derivation", "show"]);
        let args = fixed.chain(batch.iter().map(StorePath::as_str)).collect::<Vec<_>>();
        systems.extend(parse(&launcher.read("nix", &args)?)?);
    }
    Ok(systems)
}

/// Parses the output of `nix derivation show`.
fn parse(json: &str) -> Result<HashMap<String, System>> {
    let shown = serde_json::from_str(json).context("reading the output of nix derivation show")?;
    let (Shown::Named { derivations } | Shown::Plain(derivations)) = shown;
    let name = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(derivations.into_iter().map(|(path, derivation)| (name(path), derivation.system)).collect())
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
            let systems = parse(json).unwrap();
            assert_eq!(systems.get("h-a.drv").map(String::as_str), Some("aarch64-linux"), "{json}");
        }
        assert!(parse("{}").unwrap().is_empty());
        assert!(parse("[]").is_err() && parse(r#"{"a":{}}"#).is_err());
    }

    #[test]
    fn the_system_of_each_version_is_read() {
        let expected = HashMap::from([(recorded::DERIVATION.to_owned(), "aarch64-linux".to_owned())]);
        for recorded in recorded::ALL {
            assert_eq!(parse(recorded.derivation).unwrap(), expected, "{}", recorded.release);
        }
    }

    #[test]
    fn fuzz() {
        let json = r#"{"/nix/store/h-a.drv":{"system":"aarch64-linux"}}"#;
        crate::base::fuzz::check_text(&[json], |text| parse(text).is_ok());
    }
}
