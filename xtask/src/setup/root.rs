//! Commands that need root: values that are shown before they run.

use std::fmt;

use anyhow::Result;

use crate::bail;
use crate::base::process::Launcher;
use crate::base::shell;

/// How this user can run commands as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    Root,
    /// By sudo, without a password.
    Sudo,
    /// By sudo, which asks for a password on the terminal.
    SudoWithPassword,
    /// There is no sudo.
    Unavailable,
}

impl Privilege {
    /// Finds out which privilege this user has, without asking for a password.
    pub fn detect(launcher: &Launcher) -> Self {
        if rustix::process::geteuid().is_root() {
            return Self::Root;
        }
        match launcher.capture("sudo", &["-n", "true"]) {
            Ok(output) if output.success() => Self::Sudo,
            Ok(_) => Self::SudoWithPassword,
            Err(_) => Self::Unavailable,
        }
    }
}

/// A command that needs root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCommand(pub Vec<String>);

impl RootCommand {
    /// The command with the argument vector `words`.
    pub fn new(words: &[&str]) -> Self {
        Self(words.iter().map(|&word| word.to_owned()).collect())
    }

    /// The argument vector for a user with `privilege`.
    fn argv(&self, privilege: Privilege) -> Vec<String> {
        let sudo = (privilege != Privilege::Root).then(|| "sudo".to_owned());
        sudo.into_iter().chain(self.0.iter().cloned()).collect()
    }

    /// Runs the command to its end, and passes each line of its output to `on_line`.
    ///
    /// # Errors
    /// Those of [`run_streaming`].
    pub fn run(
        &self,
        launcher: &Launcher,
        privilege: Privilege,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let argv = self.argv(privilege);
        run_streaming(launcher, &argv[0], &argv[1..], on_line)
    }
}

/// Runs a command, and passes each line of its stdout and stderr to `on_line`.
///
/// # Errors
/// An exit code other than 0, with the last five lines of the output.
pub fn run_streaming(
    launcher: &Launcher,
    program: &str,
    args: &[String],
    on_line: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut lines = Vec::new();
    let code = launcher.stream_all(program, args, |line| {
        on_line(line);
        lines.push(line.to_owned());
    })?;
    if code == 0 {
        return Ok(());
    }
    let last_lines = lines.split_off(lines.len().saturating_sub(5)).join("; ");
    bail!(Other, "{program} failed with exit code {code}: {last_lines}")
}

impl fmt::Display for RootCommand {
    /// Writes the command line for a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|word| shell::quote(word)).collect::<Vec<_>>().join(" "))
    }
}
