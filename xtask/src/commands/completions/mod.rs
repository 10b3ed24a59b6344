//! `completions SHELL`: prints a script by which a shell completes command lines of this program.

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{JsonResult, program, shell};
use crate::cli::{Completions, Shell};
use crate::ui;

/// The command that the scripts complete for the alias of cargo.
const CARGO: &str = "cargo";

/// The texts of a script: its function, and its registration for a program of that name and for the alias of cargo.
struct Script {
    function: &'static str,
    for_program: &'static str,
    for_cargo: &'static str,
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct CompletionsResult {
    script: String,
}

impl JsonResult for CompletionsResult {}

pub fn run(args: &Completions, json: bool) -> Result<()> {
    let file = program::file().context("finding the file of this program")?;
    let script = script(args.shell, program::file_name(), &file.to_string_lossy());
    if json {
        return ui::print_json(&CompletionsResult { script });
    }
    ui::print_own_text(&script)
}

/// The script for `shell`. It runs the program `file` to complete the command `name`, or that of the alias without one.
fn script(shell: Shell, name: Option<&str>, file: &str) -> String {
    let texts = texts(shell);
    let registration = if name.is_some() { texts.for_program } else { texts.for_cargo };
    let is_in_names = |char: char| char.is_ascii_alphanumeric();
    let function = name.unwrap_or("xtask").replace(|char| !is_in_names(char), "_");
    let text = [texts.function, registration].concat();
    text.replace("@FUNCTION@", &format!("_{function}"))
        .replace("@COMMAND@", &shell::quote(name.unwrap_or(CARGO)))
        .replace("@PROGRAM@", &shell::quote(file))
        .trim_end()
        .to_owned()
}

fn texts(shell: Shell) -> Script {
    match shell {
        Shell::Bash => Script {
            function: include_str!("bash.sh"),
            for_program: include_str!("bash_program.sh"),
            for_cargo: include_str!("bash_cargo.sh"),
        },
        Shell::Zsh => Script {
            function: include_str!("zsh.sh"),
            for_program: include_str!("zsh_program.sh"),
            for_cargo: include_str!("zsh_cargo.sh"),
        },
        Shell::Fish => Script {
            function: include_str!("fish.fish"),
            for_program: include_str!("fish_program.fish"),
            for_cargo: include_str!("fish_cargo.fish"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_the_program_and_what_it_completes() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let alias = script(shell, None, "/a b/xtask");
            assert!(alias.contains("'/a b/xtask' __complete "), "{alias}");
            assert!(alias.contains("_xtask_"), "{alias}");
            let own = script(shell, Some("pi-tool"), "pi-tool");
            assert!(own.contains("pi-tool __complete ") && own.contains("_pi_tool"), "{own}");
            assert!(!own.contains("cargo") && !own.contains("@FUNCTION@"), "{own}");
        }
    }
}
