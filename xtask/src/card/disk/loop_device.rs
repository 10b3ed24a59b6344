//! A loop device that this process attaches.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::base::process::Launcher;

/// A loop device over a file. The kernel detaches the device when the `LoopDevice` is dropped.
#[derive(Debug)]
pub struct LoopDevice {
    /// The path of the device node, `/dev/loop3`.
    pub path: PathBuf,
    /// The open device. The kernel detaches it at its last close, even if this process is killed.
    #[cfg_attr(not(feature = "dev"), expect(dead_code, reason = "keeps the device attached"))]
    open: File,
}

impl LoopDevice {
    /// Attaches `file` to a free loop device, and keeps the device open.
    pub fn attach(launcher: &Launcher, file: &Path) -> Result<Self> {
        let text = launcher.read("losetup", &["--find".as_ref(), "--show".as_ref(), file.as_os_str()])?;
        let path = PathBuf::from(text.trim());
        let opened = OpenOptions::new().read(true).open(&path);
        // Detaches the device at once where opening it has failed, else at the last close.
        let detached = launcher.read("losetup", &[OsStr::new("--detach"), path.as_os_str()]);
        let open = opened.with_context(|| format!("opening {}", path.display()))?;
        detached?;
        Ok(Self { path, open })
    }

    /// The metadata of the device node.
    #[cfg(feature = "dev")]
    pub fn metadata(&self) -> Result<std::fs::Metadata> {
        self.open.metadata().with_context(|| format!("reading the metadata of {}", self.path.display()))
    }
}
