//! References to a flake at one of its revisions.

use std::path::Path;

use anyhow::Result;

use super::{FlakeRef, encode};
use crate::bail;

/// The parameters of a reference that name another version, or that are added again.
const OF_VERSION: &[&str] = &["rev", "ref", "dir", "narHash", "lastModified", "revCount"];

impl FlakeRef {
    /// The git repository of the flake on this machine; `None` for a flake elsewhere, and for one outside git.
    pub fn repository(&self) -> Option<&Path> {
        let local = self.local.as_ref().filter(|local| !local.all_files)?;
        local.tree.ancestors().find(|folder| folder.join(".git").exists())
    }

    /// Whether the flake has revisions: a folder of this machine that is in no git repository has none.
    pub fn has_revisions(&self) -> bool {
        self.local.is_none() || self.repository().is_some()
    }

    /// The flake at the revision `rev`, a whole hash. `url`, the reference to that revision as Nix has printed it,
    /// serves for a flake that is not on this machine.
    ///
    /// # Errors
    /// `Refused` for a flake that has no revisions.
    pub fn at_revision(&self, rev: &str, url: Option<&str>) -> Result<Self> {
        if let Some(repository) = self.repository() {
            let folder = self
                .folder()
                .and_then(|folder| folder.strip_prefix(repository).ok())
                .unwrap_or(Path::new(""));
            let query = self.as_str().split_once('?').map(|(_, query)| query).unwrap_or_default();
            let is_kept = |parameter: &&str| {
                let name = parameter.split('=').next().unwrap_or_default();
                !parameter.is_empty() && !OF_VERSION.contains(&name)
            };
            let mut parameters = query.split('&').filter(is_kept).map(str::to_owned).collect::<Vec<_>>();
            parameters.push(format!("rev={rev}"));
            if !folder.as_os_str().is_empty() {
                parameters.push(format!("dir={}", encode(folder)));
            }
            return Self::parse(&format!("git+file://{}?{}", encode(repository), parameters.join("&")));
        }
        if let Some(url) = url {
            return Ok(Self::of_url(url));
        }
        if self.local.is_some() {
            bail!(Refused, "{self} has no revisions: it is in no git repository");
        }
        let place = self.without_version();
        let is_forge = ["github:", "gitlab:", "sourcehut:"].iter().any(|forge| place.starts_with(forge));
        let separator = if is_forge { "/" } else { "?rev=" };
        Ok(Self::of_url(format!("{place}{separator}{rev}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REV: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_flake_on_this_machine_is_named_by_its_repository_and_the_revision() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("re po/.git")).unwrap();
        std::fs::create_dir(root.join("re po/inner")).unwrap();
        for folder in ["re po", "re po/inner"] {
            std::fs::write(root.join(folder).join("flake.nix"), "").unwrap();
        }
        let repository = format!("{}/re%20po", root.display());
        for (given, expected) in [
            (format!("{}/re po", root.display()), format!("git+file://{repository}?rev={REV}")),
            (
                format!("{}/re po/inner", root.display()),
                format!("git+file://{repository}?rev={REV}&dir=inner"),
            ),
            (
                format!("git+file://{repository}?ref=main&submodules=1&dir=inner"),
                format!("git+file://{repository}?submodules=1&rev={REV}&dir=inner"),
            ),
        ] {
            let flake = FlakeRef::parse(&given).unwrap();
            assert_eq!(flake.at_revision(REV, None).unwrap().as_str(), expected, "{given}");
        }
        let all = FlakeRef::parse(&format!("path:{}/re po", root.display())).unwrap();
        assert!(all.at_revision(REV, None).unwrap_err().to_string().ends_with("it is in no git repository"));
        assert!(FlakeRef::of_folder(&root).at_revision(REV, None).is_err());
    }

    #[test]
    fn a_flake_elsewhere_is_named_by_its_url_and_the_revision() {
        for (given, url, expected) in [
            ("github:o/f", Some("github:o/f/1?narHash=x"), "github:o/f/1?narHash=x".to_owned()),
            ("github:o/f/main?dir=x", None, format!("github:o/f/{REV}")),
            ("git+ssh://git@host/f?ref=main", None, format!("git+ssh://git@host/f?rev={REV}")),
        ] {
            let pinned = FlakeRef::of_url(given).at_revision(REV, url).unwrap();
            assert_eq!(pinned.as_str(), expected);
        }
    }
}
