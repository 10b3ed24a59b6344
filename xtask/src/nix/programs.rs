//! How the user runs the programs of Nix that hints name.

use std::path::PathBuf;

use crate::base::process::Launcher;
use crate::base::shell;

/// The quote that begins a command in a hint.
const QUOTE: char = '`';

/// Where the programs of the Nix that this tool runs are.
#[derive(Debug, Default)]
pub struct Programs {
    /// The folder of the programs; `None` where the user's `PATH` leads to them.
    folder: Option<PathBuf>,
}

impl Programs {
    /// The programs of the Nix that `launcher` runs. The Nix of `setup` is not on the user's `PATH`.
    pub fn of(launcher: &Launcher) -> Self {
        Self { folder: launcher.env("NIX_BIN_DIR").map(PathBuf::from) }
    }

    /// The words by which the user runs the program `name`.
    pub fn command(&self, name: &str) -> String {
        match &self.folder {
            Some(folder) => shell::quote(&folder.join(name).display().to_string()),
            None => name.to_owned(),
        }
    }

    /// `hint` with [`Self::command`] in place of each program of Nix that begins a command.
    pub fn spell_out(&self, hint: &str) -> String {
        let mut pieces = hint.split_inclusive(QUOTE);
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |text, piece| text + &self.spell_out_first_word(piece))
    }

    fn spell_out_first_word(&self, command: &str) -> String {
        let end = command.find([' ', QUOTE]).unwrap_or(command.len());
        let (program, rest) = command.split_at(end);
        let is_of_nix = program == "nix" || program.starts_with("nix-");
        if is_of_nix { self.command(program) + rest } else { command.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_programs_by_a_path_where_the_path_variable_does_not_lead_to_them() {
        let hint = "nix is full: `nix-collect-garbage`, or `nix store info`, not `nixos-rebuild` or nix";
        assert_eq!(Programs::default().spell_out(hint), hint);
        let private = Programs { folder: Some("/my tools/bin".into()) };
        assert_eq!(
            private.spell_out("nix is full: `nix-collect-garbage`, or `nix store info`, not `nixos` or nix"),
            "nix is full: `'/my tools/bin/nix-collect-garbage'`, or `'/my tools/bin/nix' store info`, not `nixos` or nix"
        );
        assert_eq!(private.spell_out("no command"), "no command");
    }
}
