//! What this process takes from itself: cores with secrets in them, rights that it never needs, and memory beyond bounds.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Where programs are that root's rights, or secrets, may be given to. `/run/wrappers/bin` and
/// `/run/current-system/sw/bin` are those of NixOS.
const PLACES: [&str; 6] =
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/run/wrappers/bin", "/run/current-system/sw/bin"];

/// No core of this process or of its children is written, and no process of the same user can look into it: it may hold
/// a private key. A child may be looked into, such as ssh-keygen. Where the kernel hands cores to a program, it takes no
/// limit but one byte for a word.
pub fn forbid_core_dumps() -> Result<()> {
    let most = Some(getrlimit(Resource::Core).maximum.map_or(1, |most| most.min(1)));
    setrlimit(Resource::Core, Rlimit { current: most, maximum: most }).context("forbidding cores")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("forbidding cores")
}

/// This process and its children take no more than `bytes` of memory each, get no more rights by a program that has some, and
/// make no file that others can read.
pub fn confine(bytes: u64) -> Result<()> {
    let now = getrlimit(Resource::Data);
    let bytes = [now.current, now.maximum].into_iter().flatten().fold(bytes, u64::min);
    setrlimit(Resource::Data, Rlimit { current: Some(bytes), maximum: now.maximum })
        .context("limiting the memory")?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::thread::set_no_new_privs(true).context("giving up rights")
}

/// The program `name` in one of the places that only root can change, whatever `PATH` says.
pub fn trusted_program(name: &str) -> Option<PathBuf> {
    let files = PLACES.iter().filter_map(|place| Path::new(place).join(name).canonicalize().ok());
    files.into_iter().find(|file| is_only_roots(file))
}

/// Whether `file` and all folders above it are root's and nobody else can change them.
fn is_only_roots(file: &Path) -> bool {
    let is_roots = |facts: &Metadata| {
        // In a folder like /nix/store others may add files, but not replace those of root.
        let shared = if facts.is_dir() && facts.mode() & 0o1000 != 0 { 0 } else { 0o022 };
        facts.uid() == 0 && facts.mode() & shared == 0
    };
    file.is_file() && file.ancestors().all(|path| path.symlink_metadata().is_ok_and(|facts| is_roots(&facts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_that_only_root_can_change() {
        assert!(trusted_program("sh").is_some_and(|sh| sh.is_absolute()));
        assert_eq!(trusted_program("no-such-program"), None);
        assert_eq!(trusted_program("../../tmp/x"), None);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("debugfs");
        std::fs::write(&file, "").unwrap();
        for mode in [0o755, 0o777] {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            // The folder for temporary files is for everybody, and has the sticky bit.
            let expected = mode == 0o755 && rustix::process::geteuid().is_root();
            assert_eq!(is_only_roots(&file), expected, "{mode:o}");
        }
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(!is_only_roots(&file));
    }
}
