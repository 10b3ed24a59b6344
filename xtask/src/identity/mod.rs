//! What this project knows of its hosts' own keys.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::project;

/// The project's file of known hosts, if it has a key of `host`.
///
/// # Errors
/// Where the file is there and cannot be read: a key that is known must not be passed over.
pub fn known(host: &str) -> Result<Option<PathBuf>> {
    known_in(&project::state_dir().join("identity/known_hosts"), host)
}

fn known_in(file: &Path, host: &str) -> Result<Option<PathBuf>> {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("reading the known hosts in {}", file.display()))?,
    };
    let known = text.lines().any(|line| line.split_whitespace().next() == Some(host));
    Ok(known.then(|| file.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        assert_eq!(known_in(&file, "stinky").unwrap(), None);
        std::fs::write(&file, "# keys\nstinky ssh-ed25519 AAAA\n").unwrap();
        for (host, expected) in [("stinky", true), ("stink", false), ("ssh-ed25519", false)] {
            assert_eq!(known_in(&file, host).unwrap().is_some(), expected, "{host}");
        }
        assert!(known_in(dir.path(), "stinky").is_err());
    }
}
