//! The git revision of a flake.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Metadata;
use crate::base::process::Launcher;
use crate::base::{FlakeRef, Plain};

/// How many digits of a revision people read.
const SHORT: usize = 9;

/// The git revision that something was built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Stored")]
pub struct Revision {
    /// The commit, in hexadecimal digits.
    pub rev: String,
    /// Whether the work tree had changes that the commit does not have.
    pub dirty: bool,
    /// The reference to this revision of a flake that is not on this machine.
    pub url: Option<String>,
}

/// A revision as its file has it. Programs get it as an argument, so a file that somebody has changed must not make an
/// option of it.
#[derive(Deserialize, JsonSchema)]
struct Stored {
    rev: String,
    #[serde(default)]
    dirty: bool,
    #[serde(default)]
    url: Option<String>,
}

impl TryFrom<Stored> for Revision {
    type Error = String;

    fn try_from(Stored { rev, dirty, url }: Stored) -> Result<Self, String> {
        if !Self::is_commit(&rev) {
            return Err(format!("`{}` is no revision of git", Plain(&rev)));
        }
        if let Some(url) = url.as_ref().filter(|url| !is_url_of(url, &rev)) {
            return Err(format!("`{}` is no reference to the revision {rev} of a flake", Plain(url)));
        }
        Ok(Self { rev, dirty, url })
    }
}

/// Whether `url` is a reference to the revision `rev` of a flake: `github:owner/name/REV`.
fn is_url_of(url: &str, rev: &str) -> bool {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let has_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_of_scheme);
    has_scheme && url.chars().all(|c| c.is_ascii_graphic()) && url.contains(rev)
}

impl Revision {
    /// The revision of `flake` as it is now. `None` where no commit identifies it: a folder outside git, or a work tree
    /// with changes and a Nix before 2.17.
    pub fn of(launcher: &Launcher, flake: &FlakeRef) -> Option<Self> {
        Metadata::read(launcher, flake)?.revision(flake)
    }

    /// The revision in `metadata`, the output of `nix flake metadata --json` for `flake`.
    pub(super) fn from_metadata(metadata: &Value, flake: &FlakeRef) -> Option<Self> {
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
    use crate::nix::recorded;

    const REV: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_stored_revision_is_a_commit_and_never_an_option() {
        let read = |rev: &str, url: Option<&str>| {
            serde_json::from_value::<Revision>(json!({ "rev": rev, "url": url }))
                .map_err(|error| error.to_string())
        };
        let url = format!("git+ssh://git@host/flake?rev={REV}&dir=pi");
        assert_eq!(
            read(REV, Some(&url)).unwrap(),
            Revision { rev: REV.into(), dirty: false, url: Some(url) }
        );
        read(REV, None).unwrap();
        for rev in ["--upload-pack=x", "../../x", "", "main", &REV[1..], "0123\u{1b}[2J", &format!("{REV}\n")]
        {
            assert!(read(rev, None).unwrap_err().ends_with("` is no revision of git"), "{rev:?}");
        }
        for url in ["--impure", "-I:x", "github:o/f", "/tmp/x", "github:o/f/\u{1b}", "a b:"] {
            let url = format!("{url}{}", if url.contains("o/f") && !url.ends_with('f') { REV } else { "" });
            assert!(
                read(REV, Some(&url)).unwrap_err().contains("` is no reference to the revision"),
                "{url:?}"
            );
        }
    }

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
    fn the_metadata_of_each_version_have_the_revision() {
        let here = FlakeRef::of_folder(std::path::Path::new("/src"));
        let expected = Revision { rev: recorded::REVISION.into(), dirty: false, url: None };
        for recorded in recorded::ALL {
            let metadata = serde_json::from_str(recorded.metadata).unwrap();
            assert_eq!(
                Revision::from_metadata(&metadata, &here).as_ref(),
                Some(&expected),
                "{}",
                recorded.release
            );
        }
    }

    #[test]
    fn a_revision_is_short_for_people() {
        let revision = |dirty| Revision { rev: REV.into(), dirty, url: None };
        assert_eq!([revision(false).short(), revision(true).short()], ["012345678", "012345678+"]);
    }
}
