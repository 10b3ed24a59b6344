//! Programs that deploy-rs runs in the place of those on the user's `PATH`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::base::process::Launcher;
use crate::base::{HostName, percent_encoding, program_file, state};

/// A script that children find under the name of a program. It is removed when this is dropped.
pub struct StandIn {
    /// A folder with nothing but the script.
    folder: PathBuf,
    program: &'static str,
}

impl StandIn {
    /// Writes the `script` that the deploy to `host`, whose lock is held, runs as `program`. Each host has a folder of
    /// its own below the state folder `state`: other hosts may be deployed to at the same time.
    ///
    /// # Errors
    /// A state folder that cannot be written, or that `PATH` cannot name.
    pub fn write(state: &Path, host: &HostName, program: &'static str, script: &str) -> Result<Self> {
        let name = percent_encoding::encode(host.as_bytes(), b"");
        let stand_in = Self { folder: state.join("stand-ins").join(program).join(name), program };
        let file = stand_in.file();
        ensure!(!file.as_os_str().as_bytes().contains(&b':'), "PATH cannot name {}", file.display());
        state::create_private_folder(&stand_in.folder)?;
        program_file::write(&file, script, 0o700)?;
        Ok(stand_in)
    }

    /// `launcher` with the script on its `PATH`, before the program itself.
    pub fn on_path_of(&self, launcher: &Launcher) -> Launcher {
        launcher.clone().with_path_front(&self.folder)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(self.program)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.file());
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_own_script_until_its_deploy_ends() {
        let dir = tempfile::tempdir().unwrap();
        let write = |host: &str| {
            StandIn::write(dir.path(), &host.into(), "ssh", &format!("#!/bin/sh\necho {host}\n")).unwrap()
        };
        let hosts = ["pi.home", "pi.lan", "pi", "p/i"];
        let stand_ins = hosts.map(write);
        for (host, stand_in) in hosts.iter().zip(&stand_ins) {
            let launcher = stand_in.on_path_of(&Launcher::new("/"));
            let script = launcher.which("ssh").unwrap().display().to_string();
            assert_eq!(launcher.read("sh", &[&script]).unwrap().trim_end(), *host);
        }
        drop(stand_ins);
        assert_eq!(fs::read_dir(dir.path().join("stand-ins/ssh")).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_path_cannot_name_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(StandIn::write(&dir.path().join("a:b"), &"pi".into(), "ssh", "").is_err());
    }
}
