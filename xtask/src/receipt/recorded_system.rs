//! The systems that a host had, by the receipts.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Deployed, Flashed, Numbered, Receipt};
use crate::base::{Context, FlakeRef, HostName, Timestamp, git};
use crate::nix::Revision;

/// The verdicts of deploys after which a host runs the system, or boots it by default.
pub(super) const TOOK: &[&str] = &[
    "done",
    "already_current",
    "ready",
    "reboot_needed",
    "units_failed",
    "degraded",
    "unhealthy",
    "unchecked",
    "blessed",
    "already_blessed",
];

/// The part of the names of NixOS systems. A profile of deploy-rs has another.
const SYSTEM_NAME: &str = "nixos-system-";

/// A system that a host had.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedSystem {
    /// The number of its receipt; `None` for a receipt of an early version.
    pub number: Option<u64>,
    /// `flashed` or `deployed`.
    pub verb: &'static str,
    pub when: Timestamp,
    /// The store path; `None` where the receipt does not have it.
    pub system: Option<String>,
    /// The revision that it was built from; `None` where the receipt does not have it.
    pub revision: Option<Revision>,
}

impl RecordedSystem {
    /// Whether the receipt names another NixOS system than `other`, or another profile. A system and a profile cannot
    /// be compared.
    pub fn differs_from(&self, other: &str) -> bool {
        let is_system = |path: &str| path.contains(SYSTEM_NAME);
        self.system.as_ref().is_some_and(|own| own != other && is_system(own) == is_system(other))
    }

    /// The NixOS system, where the receipt names one.
    pub fn nixos_system(&self) -> Option<&str> {
        self.system.as_deref().filter(|system| system.contains(SYSTEM_NAME))
    }
}

/// The system that `host` of `flake` had last: that of its last flash, or of its last deploy that took. `None` where no
/// receipt tells. Warns of unreadable receipts.
///
/// # Errors
/// Where the folder of receipts cannot be read.
pub fn last_system(cx: &Context, flake: &FlakeRef, host: &HostName) -> Result<Option<RecordedSystem>> {
    Ok(recorded_systems(cx, flake, host)?.into_iter().next())
}

/// The systems that `host` of `flake` had, the newest first: those of its flashes, and of its deploys that took. The
/// receipts may be those of another workstation, where the flake was in another folder. Warns of unreadable receipts.
///
/// # Errors
/// Where the folder of receipts cannot be read.
pub fn recorded_systems(cx: &Context, flake: &FlakeRef, host: &HostName) -> Result<Vec<RecordedSystem>> {
    let receipts = super::read_numbered(cx)?;
    let of_host = receipts.iter().filter(|numbered| numbered.receipt.host() == Some(host.as_str()));
    let of_host = of_host.collect::<Vec<_>>();
    let has_commit = |rev: &str| {
        flake.repository().is_some_and(|folder| git::find_commit(&cx.launcher, folder, rev).is_ok())
    };
    let clones = clones_of(flake, &of_host, has_commit);
    Ok(find(&of_host, |of_receipt| flake.is_same(of_receipt) || clones.contains(of_receipt)))
}

/// The other names in `receipts` that are clones of `flake`: of each, the repository of the flake has a commit.
fn clones_of<'a>(
    flake: &FlakeRef,
    receipts: &[&'a Numbered],
    has_commit: impl Fn(&str) -> bool,
) -> BTreeSet<&'a str> {
    let mut clones = BTreeSet::new();
    for Numbered { receipt, .. } in receipts {
        let (Some(name), Some(revision)) = (receipt.flake(), receipt.revision()) else { continue };
        if !clones.contains(name) && !flake.is_same(name) && has_commit(&revision.rev) {
            clones.insert(name);
        }
    }
    clones
}

/// The systems by `receipts` of one host, the newest first, whose flakes are those that `is_wanted`.
fn find(receipts: &[&Numbered], is_wanted: impl Fn(&str) -> bool) -> Vec<RecordedSystem> {
    // An image that was given as a file is of no flake.
    let wanted = receipts.iter().filter(|numbered| numbered.receipt.flake().is_none_or(&is_wanted));
    let systems = wanted.filter_map(|Numbered { number, receipt }| {
        let system = match receipt {
            Receipt::Flash(flashed) => of_flash(flashed),
            Receipt::Deploy(deployed) => of_deploy(deployed)?,
            Receipt::BrokenFlash(_) => return None,
        };
        Some(RecordedSystem { number: *number, ..system })
    });
    let mut systems = systems.collect::<Vec<_>>();
    for index in 0..systems.len() {
        if systems[index].revision.is_none() && systems[index].system.is_some() {
            // A system that was blessed was built by an earlier deploy.
            let (newer, older) = systems.split_at_mut(index + 1);
            let system = &mut newer[index];
            let built = older.iter().find(|other| other.system == system.system && other.revision.is_some());
            system.revision = built.and_then(|other| other.revision.clone());
        }
    }
    systems
}

fn of_flash(flashed: &Flashed) -> RecordedSystem {
    RecordedSystem {
        number: None,
        verb: "flashed",
        when: flashed.when.clone(),
        system: flashed.system.clone(),
        revision: flashed.revision.clone(),
    }
}

fn of_deploy(deployed: &Deployed) -> Option<RecordedSystem> {
    TOOK.contains(&deployed.verdict.as_str()).then(|| RecordedSystem {
        number: None,
        verb: "deployed",
        when: deployed.when.clone(),
        system: Some(deployed.to.clone()),
        revision: deployed.revision.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The receipt of a deploy of `pi` to the system `to`.
    fn deploy(to: &str, verdict: &str, flake: &str, rev: &Value) -> Receipt {
        let json = json!({"when": "2026-11-25T12:00:00Z", "host": "pi", "flake": flake, "from": null, "to": to,
            "verdict": verdict, "exit_code": 0, "seconds": [], "revision": rev});
        serde_json::from_value::<Deployed>(json).unwrap().into()
    }

    /// `receipts`, the newest first, with their numbers.
    fn numbered(receipts: &[Receipt]) -> Vec<Numbered> {
        let count = receipts.len() as u64;
        let numbers = (1..=count).rev().map(Some);
        let all = numbers.zip(receipts.iter().cloned());
        all.map(|(number, receipt)| Numbered { number, receipt }).collect()
    }

    #[test]
    fn the_last_deploy_that_took_has_the_system() {
        let rev = |digit: &str| json!({ "rev": digit.repeat(40), "dirty": false });
        let flake = FlakeRef::of_url("github:o/f");
        let this = "github:o/f";
        let newest_first = [
            deploy("d", "rolled_back", this, &rev("d")),
            deploy("c", "on_trial", this, &rev("c")),
            deploy("x", "done", "github:o/other", &rev("1")),
            deploy("b", "blessed", this, &Value::Null),
            deploy("b", "on_trial", this, &rev("b")),
            deploy("b", "done", this, &rev("b")),
            deploy("a", "done", this, &rev("a")),
        ];
        let all = |receipts: &[Receipt]| {
            let numbered = numbered(receipts);
            find(&numbered.iter().collect::<Vec<_>>(), |of_receipt| flake.is_same(of_receipt))
        };
        let found = |receipts: &[Receipt]| all(receipts).into_iter().next();
        let last = found(&newest_first).unwrap();
        assert_eq!((last.system.as_deref(), last.verb), (Some("b"), "deployed"));
        assert_eq!(last.revision.unwrap().rev, "b".repeat(40));
        assert_eq!(found(&newest_first[6..]).unwrap().system.as_deref(), Some("a"));
        assert_eq!(found(&newest_first[..3]), None);
        let numbers = all(&newest_first).into_iter().map(|system| system.number.unwrap());
        assert_eq!(numbers.collect::<Vec<_>>(), [4, 2, 1]);
    }

    /// A blessing has no revision, and is of the clone all the same.
    #[test]
    fn receipts_of_another_workstation_count_where_the_repository_has_a_commit_of_theirs() {
        let rev = |digit: &str| json!({ "rev": digit.repeat(40), "dirty": false });
        let flake = FlakeRef::parse("/home/new/cluster").unwrap();
        let [clone, other] = ["git+file:///home/old/cluster", "git+file:///home/old/other"];
        let newest_first = [
            deploy("x", "done", other, &rev("9")),
            deploy("b", "blessed", clone, &Value::Null),
            deploy("b", "ready", clone, &rev("b")),
            deploy("a", "done", clone, &rev("a")),
        ];
        let numbered = numbered(&newest_first);
        let receipts = numbered.iter().collect::<Vec<_>>();
        for commit in ["a", "b"] {
            let clones = clones_of(&flake, &receipts, |rev| rev == commit.repeat(40));
            assert_eq!(clones, [clone].into());
            let systems = find(&receipts, |of_receipt| clones.contains(of_receipt));
            let last = systems.into_iter().next().unwrap();
            assert_eq!((last.system.as_deref(), last.revision.unwrap().rev), (Some("b"), "b".repeat(40)));
        }
        assert_eq!(clones_of(&flake, &receipts, |_| false), [].into());
    }

    #[test]
    fn systems_and_profiles_are_not_compared_with_each_other() {
        let recorded = |system: Option<&str>| RecordedSystem {
            number: None,
            verb: "deployed",
            when: Timestamp::now(),
            system: system.map(str::to_owned),
            revision: None,
        };
        let a = "/nix/store/a-nixos-system-pi";
        for (system, other, expected) in [
            (Some(a), a, false),
            (Some(a), "/nix/store/b-nixos-system-pi", true),
            (Some(a), "/nix/store/a-activatable", false),
            (Some("/nix/store/a-activatable"), "/nix/store/b-activatable", true),
            (None, a, false),
        ] {
            assert_eq!(recorded(system).differs_from(other), expected, "{system:?} {other}");
        }
    }

    #[test]
    fn every_verdict_that_took_is_one_of_a_deploy_or_a_decision() {
        use clap::ValueEnum as _;
        let verdicts = crate::deploy::Verdict::value_variants().iter().map(|verdict| json!(verdict));
        let names = verdicts.map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>();
        let is_known = |name: &&&str| names.iter().any(|known| known == **name) || name.contains("blessed");
        assert_eq!(TOOK.iter().filter(|name| !is_known(name)).collect::<Vec<_>>(), [&""; 0]);
    }
}
