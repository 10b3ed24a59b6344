//! Which snapshot of a repository of restic has the state of a host.

use std::collections::HashSet;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::bail;
use crate::base::{HostName, Plain};

/// A snapshot, as restic lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    pub id: String,
    pub time: String,
    #[serde(default)]
    pub hostname: String,
    #[serde(default)]
    pub paths: Vec<String>,
}

/// The snapshot of `all` with the id that begins with `id`, or else the latest one of `host` with `folder`.
pub fn choose(all: Vec<Snapshot>, id: Option<&str>, host: &HostName, folder: &str) -> Result<Snapshot> {
    if let Some(id) = id.filter(|id| *id != "latest") {
        let mut found = all.into_iter().filter(|snapshot| snapshot.id.starts_with(id));
        return match (found.next(), found.next()) {
            (Some(snapshot), None) => Ok(snapshot),
            (Some(_), Some(_)) => {
                bail!(Refused, "several snapshots begin with {id}"; hint: "give more digits of the id")
            }
            _ => bail!(Refused, "the repository has no snapshot {id}"; hint: "`restic snapshots` lists them"),
        };
    }
    let has_folder = |snapshot: &Snapshot| snapshot.paths.iter().any(|path| overlaps(path, folder));
    let mut with_folder = all.into_iter().filter(has_folder).collect::<Vec<_>>();
    if with_folder.is_empty() {
        bail!(
            Refused, "the repository has no snapshot with {}", shown(folder);
            hint: "`restic snapshots` lists the folders of the snapshots; name that of the state with --state-path"
        );
    }
    if with_folder.iter().any(|snapshot| snapshot.hostname == host.as_str()) {
        with_folder.retain(|snapshot| snapshot.hostname == host.as_str());
    }
    let hosts = with_folder.iter().map(|snapshot| &snapshot.hostname).collect::<HashSet<_>>();
    if hosts.len() > 1 {
        let mut hosts = hosts.into_iter().map(|host| Plain(host).to_string()).collect::<Vec<_>>();
        hosts.sort();
        bail!(
            Refused, "the repository has no snapshot of {host}, but of {}", hosts.join(", ");
            hint: "name the snapshot with --snapshot ID"
        );
    }
    // In order of their time, as restic lists them.
    with_folder.pop().context("finding the latest snapshot")
}

/// Whether one of the paths contains the other. An empty `folder` is the root.
fn overlaps(path: &str, folder: &str) -> bool {
    let is_below = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_below(path, folder) || is_below(folder, path)
}

/// `folder` for people.
pub fn shown(folder: &str) -> &str {
    if folder.is_empty() { "/" } else { folder }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(id: &str, hostname: &str, path: &str) -> Snapshot {
        Snapshot { id: id.into(), time: String::new(), hostname: hostname.into(), paths: vec![path.into()] }
    }

    #[test]
    fn the_latest_snapshot_of_the_host_is_chosen() {
        let all = || {
            vec![
                snapshot("a1", "pi", "/nix/persist"),
                snapshot("a2", "pi", "/nix/persist"),
                snapshot("b1", "other", "/nix/persist"),
                snapshot("b2", "pi", "/home"),
            ]
        };
        let id = |all, wanted, host: &str, folder| {
            choose(all, wanted, &host.into(), folder)
                .map(|snapshot| snapshot.id)
                .map_err(|error| error.to_string())
        };
        assert_eq!(id(all(), None, "pi", "/nix/persist").unwrap(), "a2");
        assert_eq!(id(all(), Some("latest"), "pi", "/nix/persist/var").unwrap(), "a2");
        assert_eq!(id(all(), Some("b1"), "pi", "/nix/persist").unwrap(), "b1");
        assert_eq!(id(all(), None, "pi", "").unwrap(), "b2");
        assert_eq!(id(all()[..2].to_vec(), None, "renamed", "/nix/persist").unwrap(), "a2");
        for (wanted, host, folder, expected) in [
            (Some("a"), "pi", "", "several snapshots begin with a"),
            (Some("c"), "pi", "", "the repository has no snapshot c"),
            (None, "pi", "/nix/persistent", "the repository has no snapshot with /nix/persistent"),
            (None, "third", "/nix/persist", "the repository has no snapshot of third, but of other, pi"),
        ] {
            assert_eq!(id(all(), wanted, host, folder).unwrap_err(), expected);
        }
    }
}
