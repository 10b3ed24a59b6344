//! A loop device of our own.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::process::Launcher;

/// A loop device over a file, for as long as this lives.
#[derive(Debug)]
pub struct LoopDevice {
    /// `/dev/loop3`.
    pub path: PathBuf,
    /// The loop device was told to detach itself at its last close. The kernel does that even if this
    /// process is killed.
    open: File,
}

impl LoopDevice {
    /// Attaches `file` to a free loop device, and keeps that open.
    pub fn attach(launcher: &Launcher, file: &Path) -> Result<Self> {
        let text = launcher.read("losetup", &["--find".as_ref(), "--show".as_ref(), file.as_os_str()])?;
        let path = PathBuf::from(text.trim());
        let open = OpenOptions::new().read(true).open(&path);
        // While it is open this only marks it: the kernel detaches it when nobody has it open any more.
        let marked = launcher.read("losetup", &[OsStr::new("--detach"), path.as_os_str()]);
        let open = open.with_context(|| format!("opening {}", path.display()))?;
        marked?;
        Ok(Self { path, open })
    }

    pub fn metadata(&self) -> Result<Metadata> {
        self.open.metadata().with_context(|| format!("looking at {}", self.path.display()))
    }
}
