//! Children of root without the rights that let it read what is closed.

use std::io::Error;

use anyhow::{Context, Result};
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

/// Each lets root read files and folders whatever their modes say.
const OVERRIDES: [CapabilitySet; 2] = [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH];

/// Does `work`, whose children may read only what the modes of files let them, also those of root.
///
/// # Errors
/// Where root cannot give up rights.
pub fn as_mere_user<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if !geteuid().is_root() {
        return work();
    }
    // Rights belong to a thread, and what this one gives up its children cannot get either.
    std::thread::scope(|scope| {
        let run = || {
            for right in OVERRIDES {
                remove_capability_from_bounding_set(right)
                    .map_err(Error::from)
                    .context("giving up rights")?;
            }
            work()
        };
        scope.spawn(run).join().map_err(|_| anyhow::anyhow!("work without rights has panicked"))?
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::process::Launcher;

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
        }
        // The rights of this process are what they were.
        if geteuid().is_root() {
            assert_eq!(launcher.capture("ls", &list).unwrap().stdout, "file\n");
        }
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    }
}
