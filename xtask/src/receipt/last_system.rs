//! The system that a host had last, by the receipts.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Deployed, Flashed, Receipt};
use crate::base::{Context, FlakeRef, HostName, Timestamp, git};
use crate::nix::Revision;

/// The verdicts of deploys after which a host runs the system, or boots it by default.
const TOOK: &[&str] = &[
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

/// The system that a host had last.
#[derive(Clone, Debug, PartialEq)]
pub struct LastSystem {
    /// `flashed` or `deployed`.
    pub verb: &'static str,
    pub when: Timestamp,
    /// The store path; `None` where the receipt does not have it.
    pub system: Option<String>,
    /// The revision that it was built from; `None` where the receipt does not have it.
    pub revision: Option<Revision>,
}

/// The system that `host` of `flake` had last: that of its last flash, or of its last deploy that took. `None` where no
/// receipt tells. The receipts may be those of another workstation, where the flake was in another folder. Warns of
/// unreadable receipts.
///
/// # Errors
/// Where the folder of receipts cannot be read.
pub fn last_system(cx: &Context, flake: &FlakeRef, host: &HostName) -> Result<Option<LastSystem>> {
    let receipts = super::read_all(cx)?;
    let of_host = receipts.iter().filter(|receipt| receipt.host() == Some(host.as_str()));
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
    receipts: &[&'a Receipt],
    has_commit: impl Fn(&str) -> bool,
) -> BTreeSet<&'a str> {
    let mut clones = BTreeSet::new();
    for receipt in receipts {
        let (Some(name), Some(revision)) = (receipt.flake(), receipt.revision()) else { continue };
        if !clones.contains(name) && !flake.is_same(name) && has_commit(&revision.rev) {
            clones.insert(name);
        }
    }
    clones
}

/// The system by `receipts` of one host, the newest first, whose flakes are those that `is_wanted`.
fn find(receipts: &[&Receipt], is_wanted: impl Fn(&str) -> bool) -> Option<LastSystem> {
    // An image that was given as a file is of no flake.
    let wanted = receipts.iter().filter(|receipt| receipt.flake().is_none_or(&is_wanted));
    let mut systems = wanted.filter_map(|receipt| match receipt {
        Receipt::Flash(flashed) => Some(of_flash(flashed)),
        Receipt::Deploy(deployed) => of_deploy(deployed),
        Receipt::BrokenFlash(_) => None,
    });
    let last = systems.next()?;
    if last.revision.is_some() || last.system.is_none() {
        return Some(last);
    }
    // A system that was blessed was built by an earlier deploy.
    let builds_it = |other: &LastSystem| other.system == last.system && other.revision.is_some();
    let revision = systems.find(builds_it).and_then(|other| other.revision);
    Some(LastSystem { revision, ..last })
}

fn of_flash(flashed: &Flashed) -> LastSystem {
    LastSystem {
        verb: "flashed",
        when: flashed.when.clone(),
        system: flashed.system.clone(),
        revision: flashed.revision.clone(),
    }
}

fn of_deploy(deployed: &Deployed) -> Option<LastSystem> {
    TOOK.contains(&deployed.verdict.as_str()).then(|| LastSystem {
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
        let found = |receipts: &[Receipt]| {
            let receipts = receipts.iter().collect::<Vec<_>>();
            find(&receipts, |of_receipt| flake.is_same(of_receipt))
        };
        let last = found(&newest_first).unwrap();
        assert_eq!((last.system.as_deref(), last.verb), (Some("b"), "deployed"));
        assert_eq!(last.revision.unwrap().rev, "b".repeat(40));
        assert_eq!(found(&newest_first[6..]).unwrap().system.as_deref(), Some("a"));
        assert_eq!(found(&newest_first[..3]), None);
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
        let receipts = newest_first.iter().collect::<Vec<_>>();
        for commit in ["a", "b"] {
            let clones = clones_of(&flake, &receipts, |rev| rev == commit.repeat(40));
            assert_eq!(clones, [clone].into());
            let last = find(&receipts, |of_receipt| clones.contains(of_receipt)).unwrap();
            assert_eq!((last.system.as_deref(), last.revision.unwrap().rev), (Some("b"), "b".repeat(40)));
        }
        assert_eq!(clones_of(&flake, &receipts, |_| false), [].into());
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
