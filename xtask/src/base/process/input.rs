//! Children that read their input from memory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Seek;

use anyhow::{Context, Result};

use super::bounded::{Bounds, Watch, run};
use super::{Launcher, Output};
use crate::base::memfd;

impl Launcher {
    /// Like [`Self::run_bounded`], for a command whose stdin is `input`.
    ///
    /// # Errors
    /// As [`Self::run_bounded`].
    pub fn run_bounded_with_input<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        input: &[u8],
        bounds: Bounds,
    ) -> Result<Output> {
        let command = self.mortal_command(program, args).stdin_file(file_to_read(input)?);
        self.run_observed(program, args, command, bounds, &|| Ok(()))
    }

    /// Like [`Self::run_bounded_with_input`], for a command that may ask the user: its stderr is the terminal.
    ///
    /// # Errors
    /// As [`Self::run_bounded`].
    pub fn run_asking<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        input: &[u8],
        bounds: Bounds,
    ) -> Result<Output> {
        let child = self.observe(program, args);
        let command = self.mortal_command(program, args).stdin_file(file_to_read(input)?);
        let watch = Watch::new(program, bounds, &|| Ok(()));
        let ended = run(self, command, &watch, |command, [stdout]| command.stdout_file(stdout));
        let output = ended.map(|(code, [stdout])| Output { code, stdout, stderr: String::new() });
        child.end_with_output(output)
    }
}

/// A file in memory with `bytes`, to be read from its beginning.
fn file_to_read(bytes: &[u8]) -> Result<File> {
    let mut file = memfd::file_with("stdin", bytes)?;
    file.rewind().context("preparing the input of a command")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: Bounds = Bounds { output: 1 << 20, time: Duration::from_secs(60) };

    #[test]
    fn a_child_reads_its_input() {
        let launcher = Launcher::new("/");
        let output = launcher.run_bounded_with_input("cat", &["-"], b"in", BOUNDS).unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (0, "in"));
        assert_eq!(launcher.run_asking("cat", &["-"], b"in", BOUNDS).unwrap().stdout, "in");
    }
}
