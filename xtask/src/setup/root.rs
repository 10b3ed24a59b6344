//! What only root can do: who runs the tool, and the commands as values, so that they can be shown.

use std::fmt;

use anyhow::Result;

use crate::base::failure::ExitKind;
use crate::base::process::Launcher;

/// How root's rights can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    Root,
    /// sudo, without a password.
    Sudo,
    /// sudo, which asks for a password on the terminal.
    SudoAsks,
    Nobody,
}

impl Privilege {
    pub fn gather(launcher: &Launcher) -> Self {
        if rustix::process::geteuid().is_root() {
            return Self::Root;
        }
        match launcher.capture("sudo", &["-n", "true"]) {
            Ok(output) if output.success() => Self::Sudo,
            Ok(_) => Self::SudoAsks,
            Err(_) => Self::Nobody,
        }
    }
}

/// A command that only root may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCommand(pub Vec<String>);

impl RootCommand {
    pub fn new(words: &[&str]) -> Self {
        Self(words.iter().map(|&word| word.to_owned()).collect())
    }

    /// The argument vector for a user with `privilege`.
    fn argv(&self, privilege: Privilege) -> Vec<String> {
        let sudo = (privilege != Privilege::Root).then(|| "sudo".to_owned());
        sudo.into_iter().chain(self.0.iter().cloned()).collect()
    }

    /// Runs the command to its end; each line it says goes to `on_line`.
    ///
    /// # Errors
    /// An exit code other than 0, with the last lines that were said.
    pub fn run(&self, launcher: &Launcher, by: Privilege, on_line: &mut dyn FnMut(&str)) -> Result<()> {
        let argv = self.argv(by);
        run_followed(launcher, &argv[0], &argv[1..], on_line)
    }
}

/// Runs a command all of whose output is story.
///
/// # Errors
/// An exit code other than 0, with the last lines that were said.
pub fn run_followed(
    launcher: &Launcher,
    program: &str,
    args: &[String],
    on_line: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut said = Vec::new();
    let code = launcher.stream_all(program, args, |line| {
        on_line(line);
        said.push(line.to_owned());
    })?;
    if code == 0 {
        return Ok(());
    }
    let why = said.split_off(said.len().saturating_sub(5)).join("; ");
    Err(ExitKind::Other.error(format!("{program} failed with exit code {code}: {why}")))
}

impl fmt::Display for RootCommand {
    /// As it would be typed; words that a shell would change are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
        let quoted = |word: &String| {
            if word.chars().all(plain) { word.clone() } else { format!("'{word}'") }
        };
        f.write_str(&self.0.iter().map(quoted).collect::<Vec<_>>().join(" "))
    }
}
