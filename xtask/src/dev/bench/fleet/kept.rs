//! The connections that `status` keeps open: processes of ssh that outlive the tool.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::process::{self, Launcher};
use crate::base::ssh_path;

/// The kept connections of a state folder. Dropping this value ends them.
pub struct KeptConnections {
    launcher: Launcher,
    /// The folder of their sockets.
    folder: PathBuf,
}

impl KeptConnections {
    /// Those of the state folder `state`.
    pub fn of(launcher: &Launcher, state: &Path) -> Self {
        Self { launcher: launcher.clone(), folder: state.join("kept") }
    }

    /// The memory of their processes, in bytes.
    pub fn memory(&self) -> u64 {
        // ssh shows itself as `ssh: SOCKET [mux]`.
        let title = format!("ssh: {}/", self.folder.display());
        let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_kept = |id: &u32| {
            fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| line.starts_with(title.as_bytes()))
        };
        process::memory_of(&ids.filter(is_kept).collect::<Vec<_>>())
    }

    /// Ends them.
    pub fn end(&self) {
        let sockets = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for socket in sockets {
            let path = format!("ControlPath={}", ssh_path(&socket.path()));
            let _ = self.launcher.capture("ssh", &["-F", "none", "-O", "exit", "-o", &path, "kept"]);
        }
    }
}

impl Drop for KeptConnections {
    fn drop(&mut self) {
        self.end();
    }
}
