//! Where the words of a command line lead in the tree of commands, for errors about a command that is missing or
//! unknown.

use std::ffi::OsString;

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The command to which words lead.
pub struct CommandPath {
    /// The names of the command, such as `identity` and `make`; none for the program itself. A `help` does not count.
    names: Vec<String>,
    command: Command,
}

impl CommandPath {
    /// Where `words`, of which the first is the name of the program, lead as far as they name commands. Options, and
    /// their values, may stand between them.
    pub fn of(words: &[OsString]) -> Self {
        let mut command = Cli::command();
        command.build();
        let mut path = Self { names: Vec::new(), command };
        let mut words = words.iter().skip(1).map(|word| word.to_string_lossy());
        while let Some(word) = words.next() {
            if word.starts_with('-') {
                if path.takes_value(&word) {
                    words.next();
                }
                continue;
            }
            let Some(below) = path.command.find_subcommand(&*word).cloned() else { break };
            path.names.extend((word != "help").then(|| word.into_owned()));
            path.command = below;
        }
        path
    }

    pub fn is_program(&self) -> bool {
        self.names.is_empty()
    }

    /// The names of the subcommands that users see, without `help`.
    pub fn subcommands(&self) -> Vec<String> {
        let shown = self.command.get_subcommands().filter(|below| !below.is_hide_set());
        shown.map(|below| below.get_name().to_owned()).filter(|name| name != "help").collect()
    }

    /// Whether the value of the option `word` is the next word.
    fn takes_value(&self, word: &str) -> bool {
        let is_named = |argument: &&clap::Arg| {
            let long = word.strip_prefix("--").is_some_and(|name| argument.get_long() == Some(name));
            let short = word
                .strip_prefix('-')
                .is_some_and(|name| argument.get_short().is_some_and(|it| name == it.to_string()));
            long || short
        };
        self.command
            .get_arguments()
            .find(is_named)
            .is_some_and(|argument| argument.get_action().takes_values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_to_a_command_past_options_and_their_values() {
        for (line, names, first) in [
            ("", "", "new-host"),
            ("card", "card", "inspect"),
            ("-q card --json", "card", "inspect"),
            ("--flake card identity", "identity", "list"),
            ("--flake=card identity", "identity", "list"),
            ("help", "", "new-host"),
            ("help card", "card", "inspect"),
            ("card help", "card", "inspect"),
            ("card none inspect", "card", "inspect"),
            ("none card", "", "new-host"),
        ] {
            let words = std::iter::once("xtask").chain(line.split_whitespace()).map(OsString::from);
            let path = CommandPath::of(&words.collect::<Vec<_>>());
            assert_eq!(
                (path.names.join(" ").as_str(), path.is_program()),
                (names, names.is_empty()),
                "{line}"
            );
            let subcommands = path.subcommands();
            assert_eq!(subcommands.first().map(String::as_str), Some(first), "{line}: {subcommands:?}");
            assert!(!subcommands.iter().any(|name| name == "record" || name == "help"), "{line}");
        }
    }
}
