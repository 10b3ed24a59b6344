//! Commands that must succeed on the host once a deploy has.

use anyhow::Result;
use serde::Serialize;

use super::excerpt::tail;
use super::ssh::Remote;

/// A command that was run on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub command: String,
    pub exit_code: i32,
    /// The last lines of what it said.
    pub output: String,
}

/// Runs `commands` one after the other, all of them.
///
/// # Errors
/// `Interrupted` where the user stops it.
pub fn check(remote: &Remote, commands: &[String]) -> Result<Vec<Check>> {
    commands.iter().map(|command| run(remote, command)).collect()
}

fn run(remote: &Remote, command: &str) -> Result<Check> {
    let output = remote.attempt_any(command)?;
    let said = [output.stdout.trim_end(), output.stderr.trim_end()].join("\n");
    Ok(Check { command: command.to_owned(), exit_code: output.code, output: tail(said.trim()) })
}

impl Check {
    pub fn failed(&self) -> bool {
        self.exit_code != 0
    }

    /// What it was and what it said, for people.
    pub fn story(&self) -> String {
        let said = self.output.lines().map(|line| format!("\n  | {line}")).collect::<String>();
        format!("`{}` ended with exit code {}{said}", self.command, self.exit_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_says() {
        let check = Check { command: "curl x".into(), exit_code: 7, output: "one\ntwo".into() };
        assert_eq!(check.story(), "`curl x` ended with exit code 7\n  | one\n  | two");
    }
}
