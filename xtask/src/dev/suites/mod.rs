//! The test suites of this repository: their names, cargo targets and requirements.

mod debian_nix;
pub mod property;
mod report;
mod requirements;
mod run;
mod sorted;

use anyhow::Result;

use crate::bail;
use crate::base::Context;
pub use debian_nix::DebianNix;
pub use report::{Report, report, table};
pub use requirements::Requirement;
pub use run::{Extent, cargo_args};
pub use sorted::{SortedSuites, sort};

/// One test target of cargo.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    pub name: &'static str,
    /// The name of a group of suites that includes this one.
    group: Option<&'static str>,
    /// The arguments of cargo that select the suite.
    target: &'static [&'static str],
    requirements: &'static [Requirement],
    /// The Nix of Debian that runs in place of the machine's; `None` for the machine's.
    pub nix: Option<DebianNix>,
}

/// All suites, in the order in which cargo runs them.
const ALL: &[Suite] = &[
    suite("unit", &["--lib"], &[Requirement::Emulators, Requirement::UnitTools]),
    suite(
        "boot",
        &["--test", "boot"],
        &[Requirement::Nix, Requirement::Emulation, Requirement::ImageTools, Requirement::Qemu],
    ),
    suite(BOOT_CUTS, &["--test", "boot-cuts"], GUEST),
    suite(
        "build",
        &["--test", "build"],
        &[Requirement::Nix, Requirement::Emulation, Requirement::ImageTools],
    ),
    suite("cli", &["--test", "cli"], &[]),
    Suite {
        group: Some("nix"),
        ..suite(
            "database",
            &["--test", "database"],
            &[
                Requirement::Nix,
                Requirement::VisibleTools,
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
            Requirement::LoopDevices,
            Requirement::Fuse,
            Requirement::Ext4Tools,
            Requirement::Nix,
            Requirement::DeployRs,
            Requirement::VisibleTools,
            Requirement::NetworkNamespaces,
            Requirement::TlsServer,
        ],
    ),
    suite(
        "device",
        &["--test", "device"],
        &[Requirement::Root, Requirement::LoopDevices, Requirement::Fuse, Requirement::Ext4Tools],
    ),
    suite(
        "docs",
        &["--test", "docs"],
        &[
            Requirement::Root,
            Requirement::LoopDevices,
            Requirement::Ext4Tools,
            Requirement::Nix,
            Requirement::Emulation,
            Requirement::ImageTools,
            Requirement::Programs,
            Requirement::DeployRs,
            Requirement::VisibleTools,
            Requirement::NetworkNamespaces,
            Requirement::Qemu,
            Requirement::PageTools,
        ],
    ),
    suite(
        "evaluation",
        &["--test", "evaluation"],
        &[
            Requirement::Nix,
            Requirement::Inputs,
            Requirement::MountNamespaces,
            Requirement::Emulation,
            Requirement::ImageTools,
            Requirement::Programs,
            Requirement::Guest,
            Requirement::Qemu,
        ],
    ),
    suite("flake", &["--test", "flake"], &[Requirement::Nix]),
    suite(FUZZ, &["--lib"], &[]),
    suite(
        "host",
        &["--test", "host"],
        &[
            Requirement::Nix,
            Requirement::DeployRs,
            Requirement::ImageTools,
            Requirement::Programs,
            Requirement::Guest,
            Requirement::Qemu,
        ],
    ),
    Suite {
        group: Some("nix"),
        ..suite(
            "image",
            &["--test", "image"],
            &[Requirement::Emulation, Requirement::ImageTools, Requirement::Programs],
        )
    },
    suite("nix", &["--test", "nix"], &[Requirement::Nix]),
    with_debian_nix(NIX_FORKY, DebianNix::Newest),
    with_debian_nix(NIX_TRIXIE, DebianNix::Trixie),
    suite("setup", &["--test", "setup"], PACKAGING),
    suite("shells", &["--test", "shells"], &[Requirement::Shells]),
    Suite { group: Some("boot"), ..suite("trial", &["--test", "trial"], GUEST) },
];

/// The requirements of a guest in QEMU.
pub const GUEST: &[Requirement] =
    &[Requirement::ImageTools, Requirement::Programs, Requirement::Guest, Requirement::Qemu];

const PACKAGING: &[Requirement] = &[Requirement::Nix, Requirement::Packaging, Requirement::MountNamespaces];

/// The suite of the property tests of `unit`, which run for minutes.
const FUZZ: &str = "fuzz";

/// The suite of power cuts during a deploy.
const BOOT_CUTS: &str = "boot-cuts";
/// The variable with the number of power cuts after which U-Boot starts the card.
pub const CUTS: &str = "XTASK_CUTS";

/// The suites of Nix with the Nix of Debian's releases.
const NIX_FORKY: &str = "nix-forky";
const NIX_TRIXIE: &str = "nix-trixie";

/// The suites that run only if they are named: they take minutes.
const ONLY_NAMED: &[&str] = &[FUZZ, BOOT_CUTS, "host", "trial", NIX_FORKY, NIX_TRIXIE];

const fn suite(
    name: &'static str,
    target: &'static [&'static str],
    requirements: &'static [Requirement],
) -> Suite {
    Suite { name, group: None, target, requirements, nix: None }
}

/// The suites `nix` and `flake` with the Nix `nix`.
const fn with_debian_nix(name: &'static str, nix: DebianNix) -> Suite {
    let target = &["--test", "nix", "--test", "flake"];
    Suite { group: Some("nix-versions"), nix: Some(nix), ..suite(name, target, &[Requirement::Nix]) }
}

impl Suite {
    /// Whether `name` is the name of the suite or of its group.
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.group == Some(name)
    }

    /// Whether the whole suite needs `requirement`.
    pub fn needs(&self, requirement: Requirement) -> bool {
        self.requirements.contains(&requirement)
    }

    /// Whether this is the suite of property tests.
    pub fn is_fuzz(&self) -> bool {
        self.name == FUZZ
    }

    /// Whether this is the suite of power cuts.
    pub fn is_boot_cuts(&self) -> bool {
        self.name == BOOT_CUTS
    }

    /// Whether the suite has requirements that `setup` can install, and this machine meets all others.
    pub fn is_helped_by_setup(&self, cx: &Context) -> bool {
        let can_be_met =
            |requirement: &Requirement| requirement.is_installable() || requirement.missing(cx).is_none();
        let has_installable = self.requirements.iter().any(|requirement| requirement.is_installable());
        has_installable && self.requirements.iter().all(can_be_met)
    }
}

/// The names of all suites.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|suite| suite.name)
}

/// Whether the suite `name` needs `requirement`.
pub fn needs(name: &str, requirement: Requirement) -> bool {
    ALL.iter().any(|suite| suite.name == name && suite.needs(requirement))
}

/// The suites and groups called `names`; without names, all but those in `ONLY_NAMED`.
///
/// # Errors
/// `Usage` for a name that no suite and no group has.
pub fn select(names: &[String]) -> Result<Vec<&'static Suite>> {
    if let Some(unknown) = names.iter().find(|name| !ALL.iter().any(|suite| suite.is_called(name))) {
        let known = self::names().collect::<Vec<_>>().join(", ");
        bail!(Usage, "there is no suite '{unknown}'"; hint: "the suites are {known}");
    }
    let is_named = |suite: &Suite| names.iter().any(|name| suite.is_called(name));
    let is_quick = |suite: &Suite| !ONLY_NAMED.contains(&suite.name);
    let is_selected = |suite: &&Suite| is_named(suite) || names.is_empty() && is_quick(suite);
    Ok(ALL.iter().filter(is_selected).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_selected_by_their_names_and_groups() {
        let names = |words: &[&str]| {
            let words = words.iter().map(ToString::to_string).collect::<Vec<_>>();
            select(&words).map(|suites| suites.iter().map(|suite| suite.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), ALL.len() - ONLY_NAMED.len());
        assert_eq!(names(&["fuzz"]).unwrap(), ["fuzz"]);
        assert_eq!(names(&["cli", "unit"]).unwrap(), ["unit", "cli"]);
        assert_eq!(names(&["nix"]).unwrap(), ["database", "image", "nix"]);
        assert_eq!(names(&["image"]).unwrap(), ["image"]);
        assert_eq!(names(&["nix-versions"]).unwrap(), ["nix-forky", "nix-trixie"]);
        assert_eq!(names(&["boot"]).unwrap(), ["boot", "trial"]);
    }

    #[test]
    fn the_error_of_an_unknown_suite_lists_all_suites() {
        let error = crate::base::failure::with_hint(&select(&["nixx".into()]).unwrap_err());
        assert_eq!(
            error,
            "there is no suite 'nixx'; the suites are unit, boot, boot-cuts, build, cli, database, deploy, device, docs, evaluation, flake, fuzz, host, image, nix, nix-forky, nix-trixie, setup, shells, trial"
        );
    }
}
