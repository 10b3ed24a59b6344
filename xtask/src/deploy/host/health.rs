//! Health checks: commands that must succeed on the host after a deploy.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::excerpt::tail;
use super::ssh::Remote;

/// A health check that was run on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    pub command: String,
    pub exit_code: i32,
    /// The last lines of its stdout and stderr.
    pub output: String,
}

/// Runs all `commands` on the host, one after the other, also after one that fails.
///
/// # Errors
/// `Interrupted` if the user stops a command; those of ssh if the link is lost.
pub fn run_checks(remote: &Remote, commands: &[String]) -> Result<Vec<Check>> {
    commands.iter().map(|command| run_check(remote, command)).collect()
}

fn run_check(remote: &Remote, command: &str) -> Result<Check> {
    let output = remote.run_with_any_exit_code(command)?;
    let text = [output.stdout.trim_end(), output.stderr.trim_end()].join("\n");
    Ok(Check { command: command.to_owned(), exit_code: output.code, output: tail(text.trim()) })
}

impl Check {
    pub fn has_failed(&self) -> bool {
        self.exit_code != 0
    }

    /// The command, its exit code and its output, for people.
    pub fn describe(&self) -> String {
        let output = self.output.lines().map(|line| format!("\n  | {line}")).collect::<String>();
        format!("`{}` exited with {}{output}", self.command, self.exit_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_has_the_output() {
        let check = Check { command: "curl x".into(), exit_code: 7, output: "one\ntwo".into() };
        assert_eq!(check.describe(), "`curl x` exited with 7\n  | one\n  | two");
    }
}
