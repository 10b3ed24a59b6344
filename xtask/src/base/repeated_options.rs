//! The options of this command line that commands in texts repeat: without them, such a command would work on another
//! flake, another host or other keys.

use std::sync::OnceLock;

use super::{escape, redact, shell};

/// The name of this program in its texts: an alias of cargo.
pub(super) const ALIAS: &str = "cargo xtask";

/// The option that stands before the command; the others stand behind it.
const FLAKE: &str = "--flake";

/// The options of this command line.
static REPEATED: OnceLock<Repeated> = OnceLock::new();

/// The options of a command line that has none of them.
static NONE: Repeated = Repeated { options: Vec::new(), passed: Vec::new() };

/// What commands in texts repeat of this command line.
#[derive(Clone, Debug, Default)]
pub struct Repeated {
    pub options: Vec<RepeatedOption>,
    pub passed: Vec<PassedWords>,
}

/// An option with the commands that take it, as texts name them: `deploy`, `identity make`, or nothing for the
/// overview.
#[derive(Clone, Debug)]
pub struct RepeatedOption {
    /// The name, such as `--to`.
    pub name: &'static str,
    /// The value; `None` for a switch.
    pub value: Option<String>,
    pub commands: Vec<String>,
}

/// The words behind `--` for Nix or deploy-rs, with the commands that take them.
#[derive(Clone, Debug)]
pub struct PassedWords {
    pub words: Vec<String>,
    pub commands: Vec<String>,
}

/// Makes commands in texts repeat what `repeated` has of this command line. The first call counts.
pub fn repeat_in_texts(repeated: Repeated) {
    let _ = REPEATED.set(repeated);
}

/// What commands in texts repeat.
pub(super) fn repeated() -> &'static Repeated {
    REPEATED.get().unwrap_or(&NONE)
}

/// The whole `command`, with the words that this command line passes to Nix or deploy-rs, if the command takes them.
pub(super) fn with_passed_words(command: String) -> String {
    repeated().pass_words(command)
}

impl Repeated {
    /// `text` with the options in each of its commands that takes them, and with `name` in place of `cargo xtask`. The
    /// text of each option is passed to `encode`.
    pub(super) fn spell(&self, text: &str, name: &str, encode: fn(&str) -> String) -> String {
        let mut parts = text.split(ALIAS);
        let mut shown = parts.next().unwrap_or_default().to_owned();
        for rest in parts {
            let options = self.options.iter().filter(|option| !option.is_in(rest));
            let (first, behind) = options.partition::<Vec<_>, _>(|option| option.name == FLAKE);
            shown += name;
            let first = first.iter().filter(|option| option.command_of(rest).is_some());
            shown.extend(first.map(|option| encode(&option.text())));
            let taking =
                behind.iter().filter_map(|option| Some((option.command_of(rest)?, encode(&option.text()))));
            let (commands, texts): (Vec<_>, Vec<_>) = taking.unzip();
            let command = commands.first().copied().unwrap_or_default();
            shown.extend([command, &texts.concat(), &rest[command.len()..]]);
        }
        shown
    }

    /// See [`with_passed_words`].
    fn pass_words(&self, command: String) -> String {
        let has_words = |rest: &&str| !rest.contains(" -- ");
        let Some(rest) = command.strip_prefix(ALIAS).filter(has_words) else { return command };
        let passed = self.passed.iter().find(|passed| command_of(&passed.commands, rest).is_some());
        // The file of an image asks nothing of Nix.
        match passed.filter(|passed| !passed.words.is_empty() && !rest.contains(" --image ")) {
            Some(passed) => {
                let words = redact::arguments(passed.words.iter().cloned());
                format!("{command} -- {}", shell::quote_all(&words))
            }
            None => command,
        }
    }
}

impl RepeatedOption {
    /// The option as a command line has it, with a space before it.
    fn text(&self) -> String {
        let value = self.value.as_ref().map(|value| format!(" {}", escape::line(&shell::quote(value))));
        format!(" {}{}", self.name, value.unwrap_or_default())
    }

    /// The words of the command at the beginning of `rest`, with a space before them; `None` where that command does
    /// not take the option.
    fn command_of<'a>(&self, rest: &'a str) -> Option<&'a str> {
        command_of(&self.commands, rest)
    }

    /// Whether the command at the beginning of `rest`, which ends with a line, a quoted text or a string of JSON, has
    /// the option; the flake also as a part of `FLAKE#HOST`.
    fn is_in(&self, rest: &str) -> bool {
        let command = rest.split(['`', '\n', '"']).next().unwrap_or_default();
        let flake = self.value.as_ref().filter(|_| self.name == FLAKE);
        if flake.is_some_and(|flake| command.contains(&format!("{flake}#"))) {
            return true;
        }
        let named = command.split(self.name).skip(1);
        named.into_iter().any(|behind| behind.is_empty() || behind.starts_with([' ', '=']))
    }
}

/// The words at the beginning of `rest` that are one of the `commands`, with a space before them; nothing for the
/// overview.
fn command_of<'a>(commands: &[String], rest: &'a str) -> Option<&'a str> {
    let is_word = |c: char| c.is_ascii_lowercase() || c == '-';
    let length = |command: &&String| {
        if command.is_empty() {
            let has_command = rest.strip_prefix(' ').is_some_and(|words| words.starts_with(is_word));
            return (!has_command || rest.starts_with(" --")).then_some(0);
        }
        let behind = rest.strip_prefix(' ')?.strip_prefix(command.as_str())?;
        (!behind.starts_with(is_word)).then_some(1 + command.len())
    };
    commands.iter().filter_map(|command| length(&command)).max().map(|length| &rest[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &'static str, value: Option<&str>, commands: &[&str]) -> RepeatedOption {
        let commands = commands.iter().map(ToString::to_string).collect();
        RepeatedOption { name, value: value.map(str::to_owned), commands }
    }

    fn spell(options: &[RepeatedOption], text: &str) -> String {
        Repeated { options: options.to_vec(), passed: Vec::new() }.spell(text, "x", str::to_owned)
    }

    #[test]
    fn commands_in_texts_repeat_the_options_that_they_take() {
        let options = [
            option("--flake", Some("my flake"), &["", "deploy", "status", "hosts", "identity"]),
            option("--to", Some("root@10.0.0.5"), &["deploy", "status", "identity trust"]),
            option("--trust-flake", None, &["deploy"]),
            option("--identity-dir", Some("keys"), &["identity list"]),
        ];
        for (text, expected) in [
            (
                "run `cargo xtask deploy pi`",
                "run `x --flake 'my flake' deploy --to root@10.0.0.5 --trust-flake pi`",
            ),
            ("`cargo xtask status`", "`x --flake 'my flake' status --to root@10.0.0.5`"),
            ("`cargo xtask hosts` lists the hosts", "`x --flake 'my flake' hosts` lists the hosts"),
            (
                "`cargo xtask identity trust pi`",
                "`x --flake 'my flake' identity trust --to root@10.0.0.5 pi`",
            ),
            ("`cargo xtask identity list`", "`x --flake 'my flake' identity list --identity-dir keys`"),
            ("`cargo xtask setup`, or `cargo xtask`", "`x setup`, or `x --flake 'my flake'`"),
            ("next: cargo xtask\n  shows", "next: x --flake 'my flake'\n  shows"),
            ("cargo xtask deployment, cargo xtask -", "x deployment, x -"),
            // What the command has already is not repeated.
            (
                "cargo xtask --flake f deploy pi --to=a\n`cargo xtask status --to b`",
                "x --flake f deploy pi --to=a\n`x --flake 'my flake' status --to b`",
            ),
            (
                "cargo xtask deploy 'my flake#pi'\n`cargo xtask hosts`",
                "x deploy --to root@10.0.0.5 --trust-flake 'my flake#pi'\n`x --flake 'my flake' hosts`",
            ),
            ("no command", "no command"),
        ] {
            assert_eq!(spell(&options, text), expected);
        }
        assert_eq!(spell(&[], "`cargo xtask deploy pi`"), "`x deploy pi`");
    }

    #[test]
    fn whole_commands_repeat_what_is_passed_behind_two_dashes() {
        let passed = |words: &[&str], commands: &[&str]| PassedWords {
            words: words.iter().map(ToString::to_string).collect(),
            commands: commands.iter().map(ToString::to_string).collect(),
        };
        let repeated = Repeated {
            options: Vec::new(),
            passed: vec![
                passed(&["--impure"], &["flash", "status"]),
                passed(&["--", "--impure"], &["deploy"]),
                passed(&[], &["hosts"]),
                passed(&["--option", "access-tokens", "github.com=t0k3n"], &["sd-image"]),
            ],
        };
        for (command, expected) in [
            ("cargo xtask flash pi", "cargo xtask flash pi -- --impure"),
            ("cargo xtask deploy pi", "cargo xtask deploy pi -- -- --impure"),
            ("cargo xtask flash pi -- --offline", "cargo xtask flash pi -- --offline"),
            ("cargo xtask flash --image a.img", "cargo xtask flash --image a.img"),
            ("cargo xtask hosts", "cargo xtask hosts"),
            ("cargo xtask sd-image pi", "cargo xtask sd-image pi -- --option access-tokens '…'"),
            ("git add a", "git add a"),
        ] {
            assert_eq!(repeated.pass_words(command.to_owned()), expected);
        }
    }
}
