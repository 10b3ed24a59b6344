//! The git revision of a flake.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FEATURES, KEEP_LOCK};
use crate::base::FlakeRef;
use crate::base::process::Launcher;

/// How many digits of a revision people read.
const SHORT: usize = 9;

/// The git revision that something was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The commit, in hexadecimal digits.
    pub rev: String,
    /// Whether the work tree had changes that the commit does not have.
    #[serde(default)]
    pub dirty: bool,
    /// The reference to this revision of a flake that is not on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Revision {
    /// The revision of `flake` as it is now. `None` where no commit identifies it: a folder outside git, or a work tree
    /// with changes and a Nix before 2.17.
    pub fn of(launcher: &Launcher, flake: &FlakeRef) -> Option<Self> {
        let args = [&FEATURES[..], &["flake", "metadata", "--json", KEEP_LOCK, flake.as_str()]].concat();
        let text = launcher.run_protected(|| launcher.read("nix", &args)).ok()?;
        Self::from_metadata(&serde_json::from_str(&text).ok()?, flake)
    }

    /// The revision in `metadata`, the output of `nix flake metadata --json` for `flake`.
    fn from_metadata(metadata: &Value, flake: &FlakeRef) -> Option<Self> {
        let clean = metadata["revision"].as_str();
        let dirty = metadata["dirtyRevision"].as_str().map(|rev| rev.trim_end_matches("-dirty"));
        let rev = clean.or(dirty).filter(|rev| Self::is_commit(rev))?;
        let is_remote = flake.folder().is_none();
        let url = metadata["url"].as_str().filter(|_| is_remote && clean.is_some());
        Some(Self { rev: rev.to_owned(), dirty: clean.is_none(), url: url.map(str::to_owned) })
    }

    /// Whether `text` is the whole name of a commit: 40 or 64 hexadecimal digits.
    pub fn is_commit(text: &str) -> bool {
        matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// The first digits, and `+` for a work tree with changes: `1a2b3c4d5`, `1a2b3c4d5+`.
    pub fn short(&self) -> String {
        let digits = self.rev.get(..SHORT).unwrap_or(&self.rev);
        format!("{digits}{}", if self.dirty { "+" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const REV: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn the_metadata_of_a_flake_have_its_revision() {
        let here = FlakeRef::of_folder(std::path::Path::new("/src"));
        let remote = FlakeRef::of_url("github:o/f");
        let url = format!("github:o/f/{REV}?narHash=x");
        let revision =
            |dirty, url: Option<&String>| Some(Revision { rev: REV.into(), dirty, url: url.cloned() });
        for (metadata, flake, expected) in [
            (json!({ "revision": REV, "url": "git+file:///src" }), &here, revision(false, None)),
            (json!({ "dirtyRevision": format!("{REV}-dirty") }), &here, revision(true, None)),
            (json!({ "revision": REV, "url": url }), &remote, revision(false, Some(&url))),
            (json!({ "revision": "--upload-pack=x" }), &remote, None),
            (json!({ "lastModified": 1 }), &here, None),
            (json!({}), &here, None),
        ] {
            assert_eq!(Revision::from_metadata(&metadata, flake), expected, "{metadata}");
        }
    }

    #[test]
    fn a_revision_is_short_for_people() {
        let revision = |dirty| Revision { rev: REV.into(), dirty, url: None };
        assert_eq!([revision(false).short(), revision(true).short()], ["012345678", "012345678+"]);
    }
}
