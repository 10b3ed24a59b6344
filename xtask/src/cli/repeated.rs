//! What commands in texts repeat of this command line, and which commands take it: the parser knows.

use clap::CommandFactory as _;

use super::{Cli, Command};
use crate::base::repeated_options::{PassedWords, Repeated, RepeatedOption};

/// The commands that ask Nix only if they are about a host and not about a card.
const ASKS_NIX_FOR_HOSTS: &[&str] = &["boot", "card verify"];

impl Cli {
    /// What commands in texts repeat of this command line, where the user names the `flake`. The flake `.` is found
    /// without an option. Of the words for Nix, `eval_args` keeps those that are not for a build alone: none repeats
    /// `--rebuild`.
    pub fn repeated(&self, flake: Option<&str>, eval_args: fn(&[String]) -> Vec<String>) -> Repeated {
        let mut options = Vec::new();
        if let Some(flake) = flake.filter(|flake| *flake != ".") {
            let value = Some(flake.to_owned());
            options.push(RepeatedOption { name: "--flake", value, commands: flake_commands() });
        }
        let command = self.command.as_ref();
        options.extend(command.map(Command::repeated_options).unwrap_or_default());
        Repeated {
            options,
            passed: command.map(|command| command.passed_words(eval_args)).unwrap_or_default(),
        }
    }
}

impl Command {
    /// The options behind this command that commands in texts repeat.
    fn repeated_options(&self) -> Vec<RepeatedOption> {
        let dir = self.key_folder().map(|dir| dir.to_string_lossy().into_owned());
        let limit = self.given_eval_timeout().map(|limit| limit.to_string().replace(' ', ""));
        let options = [
            ("--to", "to", self.address().map(ToString::to_string).map(Some)),
            ("--identity-dir", "identity_dir", dir.map(Some)),
            ("--trust-flake", "trust_flake", self.trusts_flake().then_some(None)),
            ("--eval-timeout", "eval_timeout", limit.map(Some)),
            ("--allow-virtual", "allow_virtual", self.allows_virtual_cards().then_some(None)),
        ];
        let given = options.into_iter().filter_map(|(name, id, given)| Some((name, id, given?)));
        let option = |(name, id, value)| RepeatedOption { name, value, commands: commands_with(&[id]) };
        given.map(option).collect()
    }

    /// The words behind `--`: those for Nix, and those for deploy-rs.
    fn passed_words(&self, eval_args: fn(&[String]) -> Vec<String>) -> Vec<PassedWords> {
        let words = eval_args(self.nix_args());
        let of_deploy = self.words_for_deploy_rs().to_vec();
        if words.is_empty() && of_deploy.is_empty() {
            return Vec::new();
        }
        let separated = [vec!["--".to_owned()], words.clone()].concat();
        let of_deploy = if of_deploy.is_empty() { separated } else { of_deploy };
        let mut commands = commands_with(&["nix_args"]);
        commands.retain(|command| !ASKS_NIX_FOR_HOSTS.contains(&command.as_str()));
        let deploys = commands_with(&["deploy_args"]);
        vec![PassedWords { words: of_deploy, commands: deploys }, PassedWords { words, commands }]
    }
}

/// The commands that users see and that have all arguments with these `ids`, as texts name them.
fn commands_with(ids: &[&str]) -> Vec<String> {
    let has_all = |command: &clap::Command| {
        ids.iter().all(|id| command.get_arguments().any(|argument| argument.get_id() == id))
    };
    let mut found = Vec::new();
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        let below = command.get_subcommands().filter(|below| has_all(below));
        found.extend(below.map(|below| format!("{name} {}", below.get_name())));
        found.extend(has_all(command).then(|| name.to_owned()));
    }
    found
}

/// The commands that work on a flake, the overview among them.
fn flake_commands() -> Vec<String> {
    let cli = Cli::command();
    // `devices` has the option, and looks at no flake.
    let hides_flake =
        |command: &&clap::Command| command.get_arguments().any(|argument| argument.get_id() == "flake");
    let commands = cli.get_subcommands().filter(|command| !command.is_hide_set() && !hides_flake(command));
    let names = commands.map(|command| command.get_name().to_owned()).filter(|name| name != "devices");
    std::iter::once(String::new()).chain(names).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// The options of the command line `words`, each with the number of its commands, and the words behind `--`.
    fn repeated(words: &str) -> Repeated {
        let cli = Cli::try_parse_from(std::iter::once("xtask").chain(words.split(' '))).unwrap();
        cli.repeated(Some("f"), |words| words.iter().filter(|word| *word != "--rebuild").cloned().collect())
    }

    /// The options that a command line repeats for `command`.
    fn options_for(repeated: &Repeated, command: &str) -> String {
        let options = repeated.options.iter().filter(|option| option.commands.iter().any(|it| it == command));
        let texts =
            options.map(|option| format!("{}={}", option.name, option.value.as_deref().unwrap_or("")));
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_command_repeats_the_options_that_it_takes() {
        let up = repeated("up pi --to a@b --identity-dir keys --trust-flake --eval-timeout 90s");
        for (command, expected) in [
            ("", "--flake=f"),
            ("deploy", "--flake=f --to=a@b --trust-flake= --eval-timeout=90s"),
            ("flash", "--flake=f --identity-dir=keys --eval-timeout=90s"),
            ("identity make", "--identity-dir=keys --eval-timeout=90s"),
            ("identity trust", "--to=a@b --trust-flake= --eval-timeout=90s"),
            ("devices", ""),
            ("setup", ""),
        ] {
            assert_eq!(options_for(&up, command), expected, "{command}");
        }
        let backup = repeated("identity backup file --identity-dir keys");
        assert_eq!(options_for(&backup, "identity restore"), "--identity-dir=keys");
        assert_eq!(options_for(&backup, "identity publish"), "");
    }

    #[test]
    fn what_is_passed_to_nix_goes_to_the_commands_that_ask_nix() {
        let words_for = |line: &str, command: &str| {
            let passed = repeated(line).passed.into_iter();
            let mut fitting = passed.filter(|passed| passed.commands.iter().any(|it| it == command));
            fitting.next().map(|passed| passed.words.join(" "))
        };
        for (line, command, expected) in [
            ("sd-image pi -- --impure", "flash", Some("--impure")),
            ("sd-image pi -- --impure", "status", Some("--impure")),
            ("sd-image pi -- --impure", "deploy", Some("-- --impure")),
            ("sd-image pi -- --impure", "boot", None),
            ("sd-image pi -- --rebuild", "flash", None),
            ("sd-image pi -- --rebuild --impure", "flash", Some("--impure")),
            ("sd-image pi -- --max-jobs 1", "status", Some("--max-jobs 1")),
            ("deploy pi -- --hostname a -- --impure", "rollback", Some("--hostname a -- --impure")),
            ("deploy pi -- --hostname a -- --impure", "status", Some("--impure")),
            ("deploy pi", "rollback", None),
        ] {
            assert_eq!(words_for(line, command).as_deref(), expected, "{line}: {command}");
        }
    }
}
