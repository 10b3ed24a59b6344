//! Runs children of root without the capabilities that override the modes of files.

use std::io::Error;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{Access, access};
use rustix::process::geteuid;
use rustix::thread::{
    CapabilitySet, capabilities, capability_is_in_bounding_set, remove_capability_from_bounding_set,
    set_capabilities,
};

use super::Launcher;

/// The capabilities by which root reads files and folders against their modes.
const OVERRIDES: CapabilitySet = CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH);

impl Launcher {
    /// The same launcher; children within [`Launcher::run_protected`] cannot read files against their modes, although
    /// they run as root. Nothing changes for a user whose children cannot do so anyway.
    #[must_use]
    pub fn protecting_keys(self) -> Self {
        Self { protects_keys: geteuid().is_root() && children_override_modes(), ..self }
    }

    /// Whether [`Self::run_protected`] takes capabilities from its children.
    pub fn protects_keys(&self) -> bool {
        self.protects_keys
    }

    /// Runs `work`, whose children run code of a flake. They cannot read the keys of hosts, if this launcher protects
    /// keys.
    pub fn run_protected<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if self.protects_keys { run_without_overrides(work) } else { work() }
    }

    /// Whether a child within [`Self::run_protected`] may write to the file or folder at `path`. False where nothing is
    /// at `path`.
    pub fn can_write_protected(&self, path: &Path) -> bool {
        let can_write = || access(path, Access::WRITE_OK).is_ok();
        if !self.protects_keys {
            return can_write();
        }
        // The kernel answers by the capabilities of the thread that asks.
        let drop_and_ask = || drop_own_overrides().is_ok() && can_write();
        std::thread::scope(|scope| scope.spawn(drop_and_ask).join().unwrap_or(false))
    }
}

/// Whether a child of root has one of the overrides. True where the kernel does not answer.
fn children_override_modes() -> bool {
    let in_bounding_set = |capability| capability_is_in_bounding_set(capability).unwrap_or(true);
    let in_inheritable_set = |sets: rustix::thread::CapabilitySets| sets.inheritable.intersects(OVERRIDES);
    OVERRIDES.iter().any(in_bounding_set) || capabilities(None).map_or(true, in_inheritable_set)
}

/// Runs `work`, whose children read only the files whose modes allow it, even as root.
///
/// # Errors
/// Where root cannot drop capabilities, and those of `work`.
fn run_without_overrides<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if !geteuid().is_root() {
        return work();
    }
    // Capabilities belong to a thread, and its children cannot regain those that it drops.
    let drop_and_run = || {
        drop_overrides().map_err(Error::from).context("dropping capabilities")?;
        work()
    };
    std::thread::scope(|scope| {
        scope
            .spawn(drop_and_run)
            .join()
            .map_err(|_| anyhow::anyhow!("the thread without capabilities panicked"))?
    })
}

/// Drops the overrides from the bounding set and from the inheritable set: a program of root gets its inheritable
/// capabilities whatever the bounding set is, and some containers and services pass them on.
fn drop_overrides() -> rustix::io::Result<()> {
    OVERRIDES.iter().try_for_each(remove_capability_from_bounding_set)?;
    let mut sets = capabilities(None)?;
    sets.inheritable.remove(OVERRIDES);
    set_capabilities(None, sets)
}

/// Drops the overrides of this thread itself.
fn drop_own_overrides() -> rustix::io::Result<()> {
    let mut sets = capabilities(None)?;
    sets.effective.remove(OVERRIDES);
    sets.permitted.remove(OVERRIDES);
    set_capabilities(None, sets)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Runs `work` in a thread whose children inherit all its capabilities.
    fn run_inheriting<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        let run = || {
            let mut sets = capabilities(None).unwrap();
            sets.inheritable = sets.permitted;
            set_capabilities(None, sets).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap())
    }

    #[test]
    fn root_protects_keys_as_long_as_its_children_could_read_them() {
        let protects = || Launcher::new("/").protecting_keys().protects_keys();
        assert_eq!(protects(), geteuid().is_root() && children_override_modes());
        if geteuid().is_root() {
            assert!(run_inheriting(protects));
            assert!(!run_without_overrides(|| Ok(protects())).unwrap());
        }
    }

    #[test]
    fn modes_of_files_bind_root_too() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "text").unwrap();
        let launcher = Launcher::new("/");
        let folder = dir.path().display().to_string();
        let ls_args = [folder.as_str()];
        for (mode, code) in [(0o700, 0), (0, 2)] {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            let output = run_without_overrides(|| launcher.capture("ls", &ls_args)).unwrap();
            assert_eq!(output.code, code, "{mode:o} {output:?}");
            let output =
                run_inheriting(|| run_without_overrides(|| launcher.capture("ls", &ls_args)).unwrap());
            assert_eq!(output.code, code, "inheriting: {mode:o} {output:?}");
        }
        // This process keeps its capabilities.
        if geteuid().is_root() {
            assert_eq!(launcher.capture("ls", &ls_args).unwrap().stdout, "file\n");
        }
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn modes_of_files_tell_whether_a_protected_child_may_write() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "text").unwrap();
        let launcher = Launcher::new("/").protecting_keys();
        for (mode, expected) in [(0o600, true), (0o444, false)] {
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert_eq!(launcher.can_write_protected(&file), expected, "{mode:o}");
        }
        assert!(!launcher.can_write_protected(&dir.path().join("none")));
        // This thread keeps its capabilities.
        let can_override = capabilities(None).unwrap().permitted.contains(CapabilitySet::DAC_OVERRIDE);
        assert_eq!(access(&file, Access::WRITE_OK).is_ok(), geteuid().is_root() && can_override);
    }
}
