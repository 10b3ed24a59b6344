//! The test suites of this repository, as data: what each is called and what it takes to run it.

pub mod property;
mod report;
mod requirements;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::base::Context;
use crate::base::failure::ExitKind;
pub use report::{Report, report, table};
pub use requirements::Requirement;

/// One test target of cargo.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    pub name: &'static str,
    /// Under which other name it is run too: a subject that has several suites.
    subject: Option<&'static str>,
    /// The words that select it.
    target: &'static [&'static str],
    needs: &'static [Requirement],
}

/// In the order in which cargo runs them.
const ALL: [Suite; 12] = [
    suite("unit", &["--lib"], &[Requirement::Emulators]),
    suite(
        "boot",
        &["--test", "boot"],
        &[Requirement::Nix, Requirement::Emulation, Requirement::ImageTools, Requirement::Qemu],
    ),
    suite(
        "build",
        &["--test", "build"],
        &[Requirement::Nix, Requirement::Emulation, Requirement::ImageTools],
    ),
    suite("cli", &["--test", "cli"], &[]),
    Suite {
        subject: Some("nix"),
        ..suite(
            "database",
            &["--test", "database"],
            &[
                Requirement::Nix,
                Requirement::ShownTools,
                Requirement::ImageTools,
                Requirement::ImageReaders,
                Requirement::MountNamespaces,
            ],
        )
    },
    suite(
        "deploy",
        &["--test", "deploy"],
        &[
            Requirement::Root,
            Requirement::Nix,
            Requirement::DeployRs,
            Requirement::ShownTools,
            Requirement::NetworkNamespaces,
        ],
    ),
    suite(
        "device",
        &["--test", "device"],
        &[Requirement::Root, Requirement::LoopDevices, Requirement::Fuse, Requirement::Ext4Tools],
    ),
    suite(
        "evaluation",
        &["--test", "evaluation"],
        &[Requirement::Nix, Requirement::Inputs, Requirement::MountNamespaces],
    ),
    suite("flake", &["--test", "flake"], &[Requirement::Nix]),
    suite(FUZZ, &["--lib"], &[]),
    Suite {
        subject: Some("nix"),
        ..suite(
            "image",
            &["--test", "image"],
            &[Requirement::Emulation, Requirement::ImageTools, Requirement::Programs],
        )
    },
    suite("nix", &["--test", "nix"], &[Requirement::Nix]),
];

/// The property tests of `unit`, run for minutes: only where it is named.
const FUZZ: &str = "fuzz";

const fn suite(name: &'static str, target: &'static [&'static str], needs: &'static [Requirement]) -> Suite {
    Suite { name, subject: None, target, needs }
}

impl Suite {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.subject == Some(name)
    }

    /// Whether it takes `need` to run it whole.
    pub fn takes(&self, need: Requirement) -> bool {
        self.needs.contains(&need)
    }

    pub fn is_fuzz(&self) -> bool {
        self.name == FUZZ
    }

    /// Whether `setup` can bring what this machine lacks for it.
    pub fn is_helped_by_setup(&self, cx: &Context) -> bool {
        let given = |need: &Requirement| need.comes_with_setup() || need.missing(cx).is_none();
        self.needs.iter().any(|need| need.comes_with_setup()) && self.needs.iter().all(given)
    }
}

/// The suites called `names`, or all of them but `FUZZ` where there is no name.
pub fn select(names: &[String]) -> Result<Vec<&'static Suite>> {
    if let Some(unknown) = names.iter().find(|name| !ALL.iter().any(|suite| suite.is_called(name))) {
        let known = ALL.map(|suite| suite.name).join(", ");
        return Err(ExitKind::Usage.error(format!("there is no suite '{unknown}'; there are {known}")));
    }
    let named = |suite: &Suite| names.iter().any(|name| suite.is_called(name));
    let wanted = |suite: &&Suite| named(suite) || names.is_empty() && !suite.is_fuzz();
    Ok(ALL.iter().filter(wanted).collect())
}

/// Suites, by whether this machine can run all of them.
#[derive(Debug, Default)]
pub struct Sorted {
    pub whole: Vec<&'static Suite>,
    /// Only those of their tests that need nothing; and what is missing for the others.
    pub partly: Vec<(&'static Suite, String)>,
}

/// Looks at this machine once for everything that `suites` need.
pub fn sort(cx: &Context, suites: Vec<&'static Suite>) -> Sorted {
    let needs = suites.iter().flat_map(|suite| suite.needs.iter().copied());
    let missing = needs.map(|need| (need, need.missing(cx))).collect::<BTreeMap<_, _>>();
    let mut sorted = Sorted::default();
    for suite in suites {
        let lacks = suite.needs.iter().filter_map(|need| missing[need].clone()).collect::<Vec<_>>();
        if lacks.is_empty() {
            sorted.whole.push(suite);
        } else {
            sorted.partly.push((suite, lacks.join("; ")));
        }
    }
    sorted
}

/// The arguments with which cargo runs `suites`. `whole` includes the tests that need more than cargo.
pub fn cargo_args(suites: &[&Suite], whole: Extent) -> Vec<&'static str> {
    let targets = suites.iter().flat_map(|suite| suite.target.iter().copied());
    let mut args = vec!["test", "--workspace", "--no-fail-fast"];
    args.extend(targets);
    if whole == Extent::Whole {
        args.extend(["--", "--include-ignored"]);
    }
    args
}

/// Which tests of a suite are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    WithoutNeeds,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_by_name() {
        let names = |words: &[&str]| {
            let words = words.iter().map(ToString::to_string).collect::<Vec<_>>();
            select(&words).map(|suites| suites.iter().map(|suite| suite.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), ALL.len() - 1);
        assert_eq!(names(&["fuzz"]).unwrap(), ["fuzz"]);
        assert_eq!(names(&["cli", "unit"]).unwrap(), ["unit", "cli"]);
        assert_eq!(names(&["nix"]).unwrap(), ["database", "image", "nix"]);
        assert_eq!(names(&["image"]).unwrap(), ["image"]);
        let error = names(&["nixx"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no suite 'nixx'; there are unit, boot, build, cli, database, deploy, device, evaluation, flake, fuzz, image, nix"
        );
    }

    #[test]
    fn one_cargo_command_for_all() {
        let suites = select(&["unit".into(), "cli".into()]).unwrap();
        let args = cargo_args(&suites, Extent::Whole).join(" ");
        assert_eq!(args, "test --workspace --no-fail-fast --lib --test cli -- --include-ignored");
        let args = cargo_args(&suites[1..], Extent::WithoutNeeds).join(" ");
        assert_eq!(args, "test --workspace --no-fail-fast --test cli");
    }
}
