//! Programs that this process writes and that are run at once.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::process::Launcher;

/// Writes a program to `path`, where nothing or an older one is, with the permission bits `mode`.
///
/// Another process makes the copy that is run: the kernel runs no file that is open for writing, and a child that
/// another thread has just started holds the files that this process was writing to, until it becomes its own program.
///
/// # Errors
/// A folder that cannot be written.
pub fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let folder = path.parent().context("a program has a folder").with_context(doing)?;
    let mut written = tempfile::NamedTempFile::new_in(folder).with_context(doing)?;
    written.write_all(content.as_ref()).with_context(doing)?;
    let mode = format!("{mode:o}");
    let args = ["-m".as_ref(), mode.as_ref(), written.path().as_os_str(), path.as_os_str()];
    Launcher::new("/").read("install", &args).with_context(doing)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Without the copy, one run of some hundred failed with "Text file busy".
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
            let runs = (0..40).map(|number| {
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
