//! Where measuring works: a folder of the project's own, in which two runs take turns.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::base::lock::Lock;
use crate::base::{Context, project, state};

/// The folder, which is this run's for as long as this lives.
pub struct Workdir {
    dir: PathBuf,
    #[expect(dead_code, reason = "holds the lock")]
    lock: Lock,
}

impl Workdir {
    /// Takes the folder; while another benchmark has it, that is said and waited for.
    pub fn take(cx: &Context) -> Result<Self> {
        let dir = project::state_dir().join("bench");
        state::private_folder(&dir)?;
        let lock = Lock::take(&dir.join("bench.lock"), "another benchmark", cx.reporter.as_ref())?;
        Ok(Self { dir, lock })
    }

    /// What is called `name` in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }
}

/// A folder that is made anew and is gone at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(path: PathBuf) -> Result<Self> {
        let _ = fs::remove_dir_all(&path);
        state::private_folder(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
