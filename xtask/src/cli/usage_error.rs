//! The parser's errors as errors of this tool, for `--json`.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::board_tip;
use super::command_path::CommandPath;
use crate::base::failure::ExitKind;
use crate::base::nearest_name;

/// Options of Nix that users pass on, and that no command of this tool has.
const NIX_OPTIONS: &[&str] = &[
    "--builders",
    "--cores",
    "--impure",
    "--keep-going",
    "--max-jobs",
    "--no-write-lock-file",
    "--offline",
    "--option",
    "--override-input",
    "--refresh",
    "--show-trace",
    "--substituters",
];

/// What other tools call commands of this one, with the command.
const OTHER_NAMES: &[(&[&str], &str)] = &[
    (&["build", "image"], "sd-image"),
    (&["burn", "dd", "write"], "flash"),
    (&["apply", "push", "switch", "update", "upgrade"], "deploy"),
    (&["wait"], "deploy HOST --wait"),
    (&["list", "ls", "show"], "hosts"),
    (&["check", "health"], "doctor"),
    (&["inspect", "verify"], "card"),
    (&["add", "create", "init", "new"], "new-host"),
    (&["keys", "ssh-key"], "identity"),
    (&["install"], "setup"),
    (&["qemu", "vm"], "boot"),
    (&["logs"], "log"),
];

/// The `error` about the command line `words`, with a tip where a word that nothing takes stands behind an option, such
/// as `new-host NAME --wifi SSID`, for an option of Nix in the wrong place, and for a command that other tools have.
///
/// The parser itself would tip to pass any unknown option behind `--`: to Nix or deploy-rs, which do not know the
/// options that this program lacks.
pub fn with_tip(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    match error.kind() {
        ErrorKind::InvalidSubcommand => return with_command(error, words),
        ErrorKind::InvalidValue => return board_tip::with_tip(error),
        _ => {}
    }
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let of_parser = error.remove(ContextKind::Suggested).is_some();
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg)
        && of_parser
        && NIX_OPTIONS.contains(&word.as_str())
    {
        let tip = "arguments for Nix stand behind `--`, of `deploy` and `rollback` behind a second `--`";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        return error;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return error };
    let Some(option) = option_before(words, word) else { return error };
    let tip = format!("the word behind '{option}' is no value of it");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

/// The `error` about an unknown command, with the command of that meaning, or else the one that is spelled alike: the
/// parser has no tip for `help COMMAND`.
fn with_command(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand).cloned() else {
        return error;
    };
    let path = CommandPath::of(words);
    let meant = OTHER_NAMES.iter().find(|(names, _)| path.is_program() && names.contains(&word.as_str()));
    if let Some((_, command)) = meant {
        error.remove(ContextKind::SuggestedSubcommand);
        let tip = format!("the command for this is '{command}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    } else if error.get(ContextKind::SuggestedSubcommand).is_none() {
        let names = path.subcommands();
        if let Some(name) = nearest_name(&word, names.iter().map(String::as_str)) {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![name.to_owned()]));
        }
    }
    error
}

/// The long option right before `word`, which is no option itself.
fn option_before(words: &[OsString], word: &str) -> Option<String> {
    let mut pairs = words.windows(2).filter(|pair| pair[1] == word && !word.starts_with('-'));
    let option = pairs.next()?[0].to_str()?.to_owned();
    (option.len() > 2 && option.starts_with("--") && !option.contains('=')).then_some(option)
}

/// The `error` of the parser about the command line `words`: its first paragraph is what is wrong, its tips are the
/// remedy. The usage and the advice to read it are for people.
pub fn failure(error: &clap::Error, words: &[OsString]) -> anyhow::Error {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
    ) {
        let subcommands = CommandPath::of(words).subcommands().join(", ");
        return crate::failure!(
            Usage, "a subcommand is missing: {subcommands}";
            hint: "`--help` lists what each subcommand does"
        );
    }
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim);
    let problem = lines.by_ref().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
    let tips = lines.filter_map(|line| line.strip_prefix("tip: ")).collect::<Vec<_>>().join("; ");
    let hint = if tips.is_empty() { "`--help` lists what the command takes".to_owned() } else { tips };
    ExitKind::Usage.error_with_hint(problem, hint)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::base::failure::{hint, kind};
    use crate::cli::Cli;

    #[test]
    fn a_usage_error_is_a_problem_and_a_remedy_without_the_usage() {
        let help = "`--help` lists what the command takes";
        for (words, problem, remedy) in [
            ("sd-image", "the following required arguments were not provided: <HOST>", help),
            ("deploy --wavs 1", "unexpected argument '--wavs' found", "a similar argument exists: '--waves'"),
            (
                "new-host a --board pi5 --admin b --wifi home",
                "unexpected argument 'home' found",
                "the word behind '--wifi' is no value of it",
            ),
            (
                "up a b --flash c",
                "unexpected argument 'c' found",
                "the word behind '--flash' is no value of it",
            ),
            ("up a b c", "unexpected argument 'c' found", help),
            ("sd-image a --no-such", "unexpected argument '--no-such' found", help),
            (
                "sd-image a --override-input nixpkgs ../nixpkgs",
                "unexpected argument '--override-input' found",
                "arguments for Nix stand behind `--`, of `deploy` and `rollback` behind a second `--`",
            ),
            ("flsh", "unrecognized subcommand 'flsh'", "a similar subcommand exists: 'flash'"),
            ("--flake f update pi", "unrecognized subcommand 'update'", "the command for this is 'deploy'"),
            ("build pi", "unrecognized subcommand 'build'", "the command for this is 'sd-image'"),
            ("list", "unrecognized subcommand 'list'", "the command for this is 'hosts'"),
            ("-q update pi", "unrecognized subcommand 'update'", "the command for this is 'deploy'"),
            ("card health", "unrecognized subcommand 'health'", "a similar subcommand exists: 'help'"),
            ("deploy a --wait=x", "invalid value 'x' for '--wait", help),
            ("flash a b --board pi9", "[possible values: pi3, pi3+,", "a similar value exists: 'pi5'"),
        ] {
            let words = std::iter::once("xtask").chain(words.split(' ')).map(OsString::from);
            let words = words.collect::<Vec<_>>();
            let parsed = Cli::try_parse_from(&words);
            let error = failure(&with_tip(parsed.unwrap_err(), &words), &words);
            assert!(error.to_string().contains(problem), "{words:?}: {error}");
            assert!(
                !error.to_string().contains("Usage") && !error.to_string().contains('\n'),
                "{words:?}: {error}"
            );
            assert_eq!((kind(&error), hint(&error)), (ExitKind::Usage, Some(remedy)), "{words:?}");
        }
    }

    #[test]
    fn help_about_an_unknown_command_has_the_tip_of_the_command() {
        let help = "`--help` lists what the command takes";
        for (words, problem, remedy) in [
            ("help flsh", "unrecognized subcommand 'flsh'", "a similar subcommand exists: 'flash'"),
            ("help card verfy", "unrecognized subcommand 'verfy'", "a similar subcommand exists: 'verify'"),
            ("help write", "unrecognized subcommand 'write'", "the command for this is 'flash'"),
            ("help octopus", "unrecognized subcommand 'octopus'", help),
        ] {
            let words = std::iter::once("xtask").chain(words.split(' ')).map(OsString::from);
            let words = words.collect::<Vec<_>>();
            let error = failure(&with_tip(Cli::try_parse_from(&words).unwrap_err(), &words), &words);
            assert_eq!((error.to_string().as_str(), hint(&error)), (problem, Some(remedy)), "{words:?}");
        }
    }

    #[test]
    fn a_group_without_a_subcommand_names_its_subcommands() {
        for (words, problem) in [
            ("card", "a subcommand is missing: inspect, verify, check"),
            ("card --quiet", "a subcommand is missing: inspect, verify, check"),
            ("identity", "a subcommand is missing: list, show, "),
            ("identity --quiet", "a subcommand is missing: list, show, "),
            ("--flake f card", "a subcommand is missing: inspect, "),
            ("--flake identity card", "a subcommand is missing: inspect, "),
        ] {
            let words = std::iter::once("xtask").chain(words.split(' ')).map(OsString::from);
            let words = words.collect::<Vec<_>>();
            let error = failure(&Cli::try_parse_from(&words).unwrap_err(), &words);
            assert!(error.to_string().starts_with(problem), "{error}");
            assert!(!error.to_string().contains("help"), "{error}");
            let remedy = "`--help` lists what each subcommand does";
            assert_eq!((kind(&error), hint(&error)), (ExitKind::Usage, Some(remedy)));
        }
    }
}
