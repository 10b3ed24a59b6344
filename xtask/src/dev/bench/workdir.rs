//! The working folder of benchmarks, which one run uses at a time.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::base::lock::Lock;
use crate::base::{Context, state};

/// The working folder, locked until this value is dropped.
pub struct Workdir {
    dir: PathBuf,
    #[expect(dead_code, reason = "holds the lock")]
    lock: Lock,
}

impl Workdir {
    /// Locks the folder; waits while another benchmark uses it.
    pub fn take(cx: &Context) -> Result<Self> {
        let dir = cx.state.join("bench");
        state::create_private_folder(&dir)?;
        let lock = Lock::take(&dir.join("bench.lock"), "another benchmark", cx.reporter.as_ref())?;
        Ok(Self { dir, lock })
    }

    /// The path of `name` in the folder.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }
}

/// A temporary folder, removed when this value is dropped.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Creates the empty folder `path`; removes an earlier one.
    pub fn new(path: PathBuf) -> Result<Self> {
        let _ = fs::remove_dir_all(&path);
        state::create_private_folder(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
