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

    /// Whether a process runs the script with words that contain all of `parts`.
    pub fn runs_with(&self, parts: &[&str]) -> bool {
        let file = self.file();
        let is_run = |process: &fs::DirEntry| {
            let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            // The interpreter comes first; a process that has become the program itself names the script no more.
            let is_of_script = words.split('\0').take(2).any(|word| Path::new(word) == file);
            is_of_script && parts.iter().all(|part| words.contains(part))
        };
        fs::read_dir("/proc").is_ok_and(|processes| processes.flatten().any(|process| is_run(&process)))
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
    use std::time::Duration;

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
    fn a_process_runs_the_script_until_the_script_ends() {
        let dir = tempfile::tempdir().unwrap();
        let stand_in = StandIn::write(dir.path(), &"pi".into(), "ssh", "#!/bin/sh\nread line\n").unwrap();
        let other = StandIn::write(dir.path(), &"pi2".into(), "ssh", "#!/bin/sh\nread line\n").unwrap();
        let file = stand_in.file().display().to_string();
        let silent = fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
        let run = Launcher::new("/").start(&file, &["root@pi", "activate it"], silent).unwrap();
        // The kernel shows the words of a process a moment after its start.
        let shows_words = || stand_in.runs_with(&["root@pi", "activate "]);
        assert!((0..1000).any(|_| shows_words() || {
            std::thread::sleep(Duration::from_millis(10));
            false
        }));
        assert!(!stand_in.runs_with(&["root@pi", "wait "]) && !other.runs_with(&["root@pi"]));
        drop(run);
        assert!(!stand_in.runs_with(&[]));
    }

    #[test]
    fn a_folder_that_path_cannot_name_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(StandIn::write(&dir.path().join("a:b"), &"pi".into(), "ssh", "").is_err());
    }
}
