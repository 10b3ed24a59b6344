//! Children of root without the rights that let it read what is closed.

use std::io::Error;

use anyhow::{Context, Result};
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities};

use super::Launcher;

/// Each lets root read files and folders whatever their modes say.
const OVERRIDES: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH);

impl Launcher {
    /// The same launcher, whose [`Launcher::closed`] children cannot read what is closed, though they are root's.
    #[must_use]
    pub fn protecting_keys(self) -> Self {
        Self { protects_keys: geteuid().is_root(), ..self }
    }

    pub fn protects_keys(&self) -> bool {
        self.protects_keys
    }

    /// Does `work`, whose children do what a flake says: they do not read the keys of hosts.
    pub fn run_protected<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if self.protects_keys { as_mere_user(work) } else { work() }
    }
}

/// Does `work`, whose children may read only what the modes of files let them, also those of root.
///
/// # Errors
/// Where root cannot give up rights.
fn as_mere_user<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if !geteuid().is_root() {
        return work();
    }
    // Rights belong to a thread, and what this one gives up its children cannot get either.
    std::thread::scope(|scope| {
        let run = || give_up().map_err(Error::from).context("giving up rights").and_then(|()| work());
        scope.spawn(run).join().map_err(|_| anyhow::anyhow!("work without rights has panicked"))?
    })
}

/// A program of root's gets what it may inherit, whatever the bounding set says: some containers and services hand that on.
fn give_up() -> rustix::io::Result<()> {
    OVERRIDES.iter().try_for_each(remove_capability_from_bounding_set)?;
    let mut rights = capabilities(None)?;
    rights.inheritable.remove(OVERRIDES);
    set_capabilities(None, rights)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Does `work` in a thread of root's whose children inherit all rights.
    fn heir<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        let run = || {
            let mut rights = capabilities(None).unwrap();
            rights.inheritable = rights.permitted;
            set_capabilities(None, rights).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap())
    }

    #[test]
    fn what_is_closed_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "text").unwrap();
        let (launcher, folder) = (Launcher::new("/"), dir.path().display().to_string());
        let list = [folder.as_str()];
        for (mode, code) in [(0o700, 0), (0, 2)] {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            let output = as_mere_user(|| launcher.capture("ls", &list)).unwrap();
            assert_eq!(output.code, code, "{mode:o} {output:?}");
            let output = heir(|| as_mere_user(|| launcher.capture("ls", &list)).unwrap());
            assert_eq!(output.code, code, "of an heir: {mode:o} {output:?}");
        }
        // The rights of this process are what they were.
        if geteuid().is_root() {
            assert_eq!(launcher.capture("ls", &list).unwrap().stdout, "file\n");
        }
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    }
}
