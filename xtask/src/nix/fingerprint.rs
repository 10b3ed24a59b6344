//! What identifies the content of a flake: as long as it is the same, so are the results of evaluations.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Metadata, version};
use crate::base::process::Launcher;
use crate::base::{FlakeRef, git, percent_encoding};

/// A text that identifies the content of a flake and of all its inputs, and the Nix that evaluates them: with the same
/// fingerprint, an expression has the same result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub(super) String);

impl Fingerprint {
    /// The fingerprint of `flake` as it is now; `None` where Nix does not identify its content.
    pub fn of(launcher: &Launcher, flake: &FlakeRef) -> Option<Self> {
        Metadata::read(launcher, flake)?.fingerprint(launcher)
    }

    /// The fingerprint of the flake with the metadata `text`, which are `metadata` when they are parsed.
    pub(super) fn from_metadata(launcher: &Launcher, text: &str, metadata: &Value) -> Option<Self> {
        let nix = version::identity(launcher)?;
        let hides_changes = || work_trees(metadata).any(|folder| git_can_hide_changes(launcher, &folder));
        let is_identified = identifies_content(metadata) && !hides_changes();
        is_identified.then(|| Self(format!("{nix}\n{text}")))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `metadata`, the output of `nix flake metadata --json`, identifies the content of the flake and of all its
/// inputs: by Nix's own fingerprint, which flakes in plain folders lack, or by the hash of the flake and of each input.
fn identifies_content(metadata: &Value) -> bool {
    if metadata["fingerprint"].is_string() {
        return true;
    }
    let has_hash = |node: &Value| node["locked"]["narHash"].is_string();
    let Some(nodes) = metadata["locks"]["nodes"].as_object() else { return false };
    let root = metadata["locks"]["root"].as_str();
    let mut inputs = nodes.iter().filter(|(name, _)| Some(name.as_str()) != root);
    has_hash(metadata) && inputs.all(|(_, node)| has_hash(node))
}

/// The git work trees that Nix reads: the work tree of the flake, and those of inputs that the lock pins to no commit.
fn work_trees(metadata: &Value) -> impl Iterator<Item = PathBuf> {
    let inputs = metadata["locks"]["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values());
    let unpinned = inputs.map(|node| &node["locked"]).filter(|locked| !locked["rev"].is_string());
    let sources = std::iter::once(&metadata["locked"]).chain(unpinned);
    let git_urls =
        sources.filter(|locked| locked["type"] == "git").filter_map(|locked| locked["url"].as_str());
    let paths = git_urls.filter_map(|url| url.strip_prefix("file://"));
    paths.map(|path| PathBuf::from(OsString::from_vec(percent_encoding::decode(path))))
}

/// Whether a file in the work tree `folder` may change without a change that git shows: after
/// `git update-index --assume-unchanged`, which is advised for secrets, or where git cannot list the files. Nix (2.34)
/// reads these files too, although git shows it no change.
fn git_can_hide_changes(launcher: &Launcher, folder: &Path) -> bool {
    // `git ls-files -v` marks such a file with a tag in lower case.
    let is_hidden = |line: &str| line.starts_with(|tag: char| tag.is_ascii_lowercase());
    git::capture(launcher, folder, git::Command::ListFiles, &[])
        .map_or(true, |output| !output.success() || output.stdout.lines().any(is_hidden))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hashes_of_the_flake_and_its_inputs_or_a_fingerprint_identify_the_content() {
        let hash = json!({ "narHash": "sha256-x" });
        let open = json!({ "type": "git" });
        let locks =
            |input: &Value| json!({ "root": "r", "nodes": { "r": {}, "nixpkgs": { "locked": input } } });
        for (metadata, expected) in [
            (json!({ "locked": hash, "locks": locks(&hash) }), true),
            (json!({ "locked": hash, "locks": locks(&open) }), false),
            (json!({ "locked": open, "locks": locks(&hash) }), false),
            (json!({ "locked": open, "locks": locks(&open), "fingerprint": "x" }), true),
            (json!({ "locked": hash }), false),
        ] {
            assert_eq!(identifies_content(&metadata), expected, "{metadata}");
        }
    }

    #[test]
    fn git_work_trees_of_the_flake_and_its_unpinned_inputs_are_found() {
        let git = |url: &str| json!({ "type": "git", "url": url });
        let mut locked = git("file:///locked");
        locked["rev"] = json!("a");
        let nodes = json!({
            "root": {}, "a": { "locked": locked }, "b": { "locked": git("file:///open") },
            "c": { "locked": git("https://host/repo") }, "d": { "locked": { "type": "path", "path": "/d" } },
        });
        let mut own = git("file:///my%20pi");
        own["rev"] = json!("b");
        let metadata = json!({ "locked": own, "locks": { "root": "root", "nodes": nodes } });
        let found = work_trees(&metadata).collect::<Vec<_>>();
        assert_eq!(found, ["/my pi", "/open"].map(PathBuf::from));
        assert_eq!(work_trees(&json!({ "locked": { "type": "github" } })).count(), 0);
    }

    #[test]
    fn fuzz() {
        let metadata = json!({
            "fingerprint": "x", "locked": { "type": "git", "url": "file:///my%20pi", "narHash": "sha256-x" },
            "locks": { "root": "root", "nodes": { "root": {}, "a": { "locked": { "narHash": "sha256-y" } } } },
        });
        crate::base::fuzz::check(&[metadata.to_string().as_bytes()], |bytes| {
            let metadata = serde_json::from_slice(bytes).unwrap_or_default();
            (identifies_content(&metadata), work_trees(&metadata).count())
        });
    }
}
