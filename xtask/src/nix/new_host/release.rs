//! The release of NixOS that a flake takes.

use std::path::Path;

use serde_json::Value;

use crate::base::bounded::{self, Links};

/// The most bytes of a lock file.
const MAX_BYTES: u64 = 16 << 20;

/// The release of the branch of nixpkgs in the lock of the flake in `folder`, such as `26.05`; `None` for a branch that
/// is none of a release, and without a lock.
pub fn release(folder: &Path) -> Option<String> {
    let lock = bounded::read(&folder.join("flake.lock"), MAX_BYTES, Links::Follow).ok()?;
    let lock = serde_json::from_slice::<Value>(&lock).ok()?;
    let root = lock["root"].as_str()?;
    let node = lock["nodes"][root]["inputs"]["nixpkgs"].as_str()?;
    let branch = lock["nodes"][node]["original"]["ref"].as_str()?;
    let release = branch.strip_prefix("nixos-").or_else(|| branch.strip_prefix("release-"))?;
    let release = release.strip_suffix("-small").unwrap_or(release);
    is_release(release).then(|| release.to_owned())
}

/// Whether `text` is a release of NixOS, such as `26.05`.
pub fn is_release(text: &str) -> bool {
    let is_number = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(year, month)| is_number(year) && is_number(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_that_of_the_locked_branch() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(release(dir.path()), None);
        for (branch, expected) in [
            ("nixos-26.05", Some("26.05")),
            ("nixos-26.05-small", Some("26.05")),
            ("release-25.11", Some("25.11")),
            ("nixos-unstable", None),
            ("master", None),
        ] {
            let lock = format!(
                r#"{{"root": "r", "nodes": {{"r": {{"inputs": {{"nixpkgs": "n"}}}}, "n": {{"original": {{"ref": "{branch}"}}}}}}}}"#
            );
            std::fs::write(dir.path().join("flake.lock"), lock).unwrap();
            assert_eq!(release(dir.path()).as_deref(), expected, "{branch}");
        }
    }
}
