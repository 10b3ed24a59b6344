//! The published `known_hosts`: a file beside `flake.nix` with public keys of hosts, which a team commits. Whoever can
//! change this file can change the flake, which decides what its hosts run: so it is trusted as the flake is.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::known_hosts::{self, NewKeys};
use crate::base::bounded::{self, Links};
use crate::base::lock::Lock;
use crate::base::{FlakeRef, HostName, state};
use crate::{bail, failure};

/// The name of the file.
pub const FILE: &str = "known_hosts";
/// The maximum size of the file, in bytes.
const MAX_SIZE: u64 = 16 << 20;
/// The lock for changes, in the folder of the project's keys: git would list a file beside `flake.nix`.
const LOCK: &str = ".published.lock";
/// The maximum wait for another run that changes the file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// The mode of a new file: its keys are public.
const MODE: u32 = 0o644;

/// A published `known_hosts`, which may not exist.
#[derive(Clone, Debug)]
pub struct PublishedHosts {
    path: PathBuf,
}

impl PublishedHosts {
    /// The file at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file of `flake`; `None` for a flake that is not in a folder of this machine.
    pub fn of(flake: &FlakeRef) -> Option<Self> {
        let folder = flake.folder().filter(|folder| folder.join("flake.nix").exists())?;
        Some(Self::at(folder.join(FILE)))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys of `host`, each such as `ssh-ed25519 AAAA…`.
    ///
    /// # Errors
    /// `Refused` for a file that is no regular file, or too large.
    pub fn keys_of(&self, host: &str) -> Result<Vec<String>> {
        Ok(known_hosts::keys_of(&self.read()?, host))
    }

    /// The hosts that have a key.
    ///
    /// # Errors
    /// As [`Self::keys_of`].
    pub fn hosts(&self) -> Result<BTreeSet<HostName>> {
        Ok(known_hosts::hosts(&self.read()?))
    }

    /// Sets the only key of each host of `keys`, or removes its keys. `identities` is the folder of the project's keys.
    /// Returns whether the file changed.
    ///
    /// # Errors
    /// `Refused` while another run changes the file.
    pub fn set_all(&self, keys: &NewKeys, identities: &Path) -> Result<bool> {
        state::create_private_folder(identities)?;
        let _lock = Lock::take_within(&identities.join(LOCK), LOCK_TIMEOUT)?;
        state::remove_temporary_files(&self.path);
        let old = self.read()?;
        let new = known_hosts::with_keys(&old, keys);
        if new != old {
            self.write(&new)?;
        }
        Ok(new != old)
    }

    /// The content; empty where there is no file.
    fn read(&self) -> Result<Vec<u8>> {
        match bounded::read(&self.path, MAX_SIZE, Links::Follow) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|error| {
                failure!(
                    Refused, "{} cannot be read: {error}", self.path.display();
                    hint: "this file beside flake.nix has public keys of hosts: mend it, or move it away"
                )
            }),
        }
    }

    /// Replaces the content atomically, and keeps the mode of the file.
    fn write(&self, content: &[u8]) -> Result<()> {
        // A link would be replaced by a file.
        if self.path.is_symlink() {
            bail!(Refused, "{} is a link", self.path.display(); hint: "edit the file that it leads to by hand");
        }
        let doing = || format!("writing {}", self.path.display());
        let kept = self.path.metadata().ok().map(|stat| stat.permissions().mode() & 0o777);
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".known_hosts.").suffix(".part").permissions(Permissions::from_mode(MODE));
        let mut file = builder.tempfile_in(folder).with_context(doing)?;
        if let Some(mode) = kept {
            // The umask does not concern a file that exists.
            file.as_file().set_permissions(Permissions::from_mode(mode)).with_context(doing)?;
        }
        file.write_all(content).and_then(|()| file.as_file().sync_all()).with_context(doing)?;
        file.persist(&self.path).with_context(doing)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::failure::with_hint;

    const KEY: &str = "ssh-ed25519 AAAAC3";

    #[test]
    fn keys_are_published_in_a_file_that_everybody_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = PublishedHosts::at(dir.path().join(FILE));
        let set = |key: Option<&str>| {
            let keys = NewKeys::from([("pi".into(), key.map(str::to_owned).into_iter().collect())]);
            file.set_all(&keys, &dir.path().join("identity")).unwrap()
        };
        assert!(set(Some(KEY)) && !set(Some(KEY)));
        assert_eq!(
            (file.keys_of("pi").unwrap(), file.hosts().unwrap()),
            (vec![KEY.into()], ["pi".into()].into())
        );
        let mode = || file.path().metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o644);
        fs::set_permissions(file.path(), Permissions::from_mode(0o664)).unwrap();
        assert!(set(None));
        assert_eq!((mode(), fs::read_to_string(file.path()).unwrap().as_str()), (0o664, ""));
        let mut names =
            dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, ["identity", FILE]);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = PublishedHosts::at(dir.path().join(FILE));
        rustix::fs::mkfifoat(rustix::fs::CWD, file.path(), 0o600.into()).unwrap();
        assert!(with_hint(&file.keys_of("pi").unwrap_err()).contains("not a regular file; this file beside"));
        fs::remove_file(file.path()).unwrap();
        std::os::unix::fs::symlink("elsewhere", file.path()).unwrap();
        let keys = NewKeys::from([("pi".into(), vec![KEY.into()])]);
        let error = file.set_all(&keys, &dir.path().join("identity")).unwrap_err();
        assert!(error.to_string().ends_with("known_hosts is a link"), "{error}");
        assert!(file.path().is_symlink());
    }
}
