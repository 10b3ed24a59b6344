//! Programs that this process writes and that are run at once.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, fchmod, flock};
use rustix::io::retry_on_intr;

/// Writes a program to `path`, where nothing or an older one is, with the permission bits `mode`.
///
/// # Errors
/// A folder that cannot be written.
pub fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    try_write(path, content.as_ref(), mode).with_context(|| format!("writing {}", path.display()))
}

fn try_write(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The mode at creation is without the bits of the umask.
    fchmod(&file, mode.into())?;
    file.write_all(content)?;
    flock(&file, FlockOperation::LockShared)?;
    drop(file);
    wait_until_closed(path)
}

/// Waits until the file at `path`, which this process wrote with a lock and has closed, is closed everywhere. The
/// kernel runs no file that is open for writing, and a child that another thread has just started holds the open files
/// of this process, with their locks, until it becomes its own program.
fn wait_until_closed(path: &Path) -> std::io::Result<()> {
    let file = File::open(path)?;
    Ok(retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::base::process::Launcher;

    /// Without the wait, some run of these failed nearly always with "Text file busy".
    #[test]
    fn a_program_runs_while_other_threads_start_children() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        let ended = AtomicBool::new(false);
        let runs = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        let _ = Launcher::new("/").read("true", &[""; 0]);
                    }
                });
            }
            let runs = (0..200).map(|number| {
                write(&program, format!("#!/bin/sh\necho {number}\n"), 0o700)?;
                Launcher::new("/").read(&program.to_string_lossy(), &[""; 0])
            });
            let runs = runs.collect::<Vec<_>>();
            ended.store(true, Ordering::Relaxed);
            runs
        });
        for (number, run) in runs.into_iter().enumerate() {
            assert_eq!(run.unwrap().trim(), number.to_string());
        }
        assert_eq!(program.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
    }
}
