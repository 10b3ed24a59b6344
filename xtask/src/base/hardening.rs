//! Hardening of this process: no core dumps with secrets, no new privileges, no memory beyond a limit, and no programs
//! as root that others can change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// The folders whose programs may run as root or get secrets. `/run/wrappers/bin` and `/run/current-system/sw/bin` are
/// the folders of NixOS.
const TRUSTED_DIRS: &[&str] =
    &["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/run/wrappers/bin", "/run/current-system/sw/bin"];

/// Forbids core dumps of this process and its children, and access to its memory by other processes of the same user:
/// it may hold a private key. The memory of children, such as ssh-keygen, stays accessible. The limit is 1 byte: a
/// kernel that pipes cores to a program honours no other limit. Where the limit is 0 already, as below sudo, only root
/// can raise it.
pub fn forbid_core_dumps() -> Result<()> {
    let set_limit = |bytes| setrlimit(Resource::Core, Rlimit { current: Some(bytes), maximum: Some(bytes) });
    set_limit(1).or_else(|_| set_limit(0)).context("forbidding core dumps")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("forbidding core dumps")
}

/// Confines this process and its children: each takes at most `max_bytes` of memory, no setuid program gives them
/// privileges, and others can read none of their new files. A lower limit that is already set stays.
pub fn confine(max_bytes: u64) -> Result<()> {
    let old = getrlimit(Resource::Data);
    let current = [old.current, old.maximum].into_iter().flatten().fold(max_bytes, u64::min);
    setrlimit(Resource::Data, Rlimit { current: Some(current), maximum: old.maximum })
        .context("limiting the memory")?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::thread::set_no_new_privs(true).context("giving up privileges")
}

/// The path of the program `name` in the first of `TRUSTED_DIRS` where only root can change it, whatever `PATH` is.
/// `None` where no folder has such a program.
pub fn trusted_program(name: &str) -> Option<PathBuf> {
    let files = TRUSTED_DIRS.iter().filter_map(|dir| Path::new(dir).join(name).canonicalize().ok());
    files.into_iter().find(|file| only_root_can_change(file))
}

/// Whether `file` and all folders above it belong to root and nobody else can write to them.
fn only_root_can_change(file: &Path) -> bool {
    let is_protected = |stat: &Metadata| {
        // In a sticky folder like /nix/store others may add files, but not replace files of root.
        let is_sticky = stat.is_dir() && stat.mode() & 0o1000 != 0;
        let others_can_write = stat.mode() & 0o022 != 0;
        stat.uid() == 0 && (is_sticky || !others_can_write)
    };
    file.is_file()
        && file.ancestors().all(|path| path.symlink_metadata().is_ok_and(|stat| is_protected(&stat)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_programs_that_root_alone_can_change_are_trusted() {
        assert!(trusted_program("sh").is_some_and(|sh| sh.is_absolute()));
        assert_eq!(trusted_program("no-such-program"), None);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("debugfs");
        std::fs::write(&file, "").unwrap();
        for mode in [0o755, 0o777] {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            // The sticky, world-writable /tmp above `file` is no fault. `file` belongs to root only if root runs this
            // test.
            let expected = mode == 0o755 && rustix::process::geteuid().is_root();
            assert_eq!(only_root_can_change(&file), expected, "{mode:o}");
        }
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(!only_root_can_change(&file));
        let name = format!("../..{}", file.display());
        assert!(Path::new("/bin").join(&name).is_file(), "the name leads out of a trusted folder to `file`");
        assert_eq!(trusted_program(&name), None);
    }
}
