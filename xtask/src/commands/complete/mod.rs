//! The command `__complete`: lists the completions of a command line for the scripts of `completions`. A key
//! press asks for them: they change nothing, ask nothing, build nothing, take a few seconds at most, and where they
//! fail there are none.

mod candidates;
mod line;

use std::sync::Arc;

use anyhow::Result;
use clap::builder::StyledStr;
use clap::{Arg, CommandFactory, ValueHint};
use clap_complete::CompletionCandidate;
use clap_complete::engine::{self, ArgValueCompleter};

use self::candidates::Source;
use self::line::Line;
use crate::base::escape;
use crate::cli::{Candidates, Cli, Complete, Shell};
use crate::ui;

/// The line that asks the script for files, and the ID of the candidate that stands for them.
const FILES: &str = ":files";
/// The line that asks the script for folders, and the ID of the candidate that stands for them.
const FOLDERS: &str = ":folders";
/// The name of values that are folders.
const FOLDER_VALUE: &str = "DIR";

pub fn run(args: &Complete) -> Result<()> {
    let Some(line) = Line::new(args.shell, &args.words) else { return Ok(()) };
    let lines = complete(&line).into_iter().filter_map(|found| spell(args.shell, &line, &found));
    let lines = lines.collect::<Vec<_>>();
    if lines.is_empty() { Ok(()) } else { ui::print_completions(&lines) }
}

/// The completions of the last word of `line`.
fn complete(line: &Line) -> Vec<CompletionCandidate> {
    if line.is_behind_separator() {
        return vec![marker(FILES)];
    }
    let source = Arc::new(Source::of(line));
    let mut command = attach_to_command(Cli::command(), &source);
    let words = line.words.iter().map(Into::into).collect();
    let found = engine::complete(&mut command, words, line.words.len() - 1, None).unwrap_or_default();
    let found = found.into_iter().filter(|found| !found.is_hide_set());
    let is_option = |found: &CompletionCandidate| found.get_value().to_string_lossy().starts_with('-');
    let (options, mut values) = found.partition::<Vec<_>, _>(is_option);
    // Options are many: they are listed where a word begins as they do, or where nothing else can stand.
    if !line.last().is_empty() || values.is_empty() {
        values.extend(options);
    }
    values
}

/// `command`, with what completes the values of its arguments and of those of its subcommands.
fn attach_to_command(command: clap::Command, source: &Arc<Source>) -> clap::Command {
    let command = command.mut_args(|arg| attach_to_argument(arg, source));
    command.mut_subcommands(|subcommand| attach_to_command(subcommand, source))
}

/// `arg`, with what completes its values. The script completes paths by the means of its shell.
fn attach_to_argument(arg: Arg, source: &Arc<Source>) -> Arg {
    if let Some(kind) = arg.get::<Candidates>().copied() {
        let source = Arc::clone(source);
        return arg.add(ArgValueCompleter::new(move |word: &std::ffi::OsStr| source.list(kind, word)));
    }
    let is_folder = |names: &[clap::builder::Str]| names.iter().any(|name| name.as_str() == FOLDER_VALUE);
    let marked = match arg.get_value_hint() {
        ValueHint::DirPath => FOLDERS,
        ValueHint::AnyPath if arg.get_value_names().is_some_and(is_folder) => FOLDERS,
        ValueHint::AnyPath | ValueHint::FilePath => FILES,
        _ => return arg,
    };
    arg.add(ArgValueCompleter::new(move |_: &std::ffi::OsStr| vec![marker(marked)]))
}

/// The candidate that stands for paths.
fn marker(id: &str) -> CompletionCandidate {
    CompletionCandidate::new(id).id(Some(id.to_owned()))
}

/// The line for the script of `shell`: the completion `found` of `line`, with its help where the shell shows it. `None`
/// for a completion that the shell would have to quote.
fn spell(shell: Shell, line: &Line, found: &CompletionCandidate) -> Option<String> {
    if let Some(id) = found.get_id().filter(|id| [FILES, FOLDERS].contains(&id.as_str())) {
        return Some(id.clone());
    }
    let value = found.get_value().to_str().filter(|value| is_plain(value))?;
    let value = value.strip_prefix(line.kept.as_str())?;
    let help = found.get_help().map(first_sentence).filter(|help| !help.is_empty());
    Some(match (shell, help) {
        (Shell::Fish, Some(help)) => format!("{value}\t{help}"),
        (Shell::Zsh, Some(help)) => format!("{}:{help}", value.replace(':', "\\:")),
        (Shell::Zsh, None) => value.replace(':', "\\:"),
        _ => value.to_owned(),
    })
}

/// Whether `value` is the same word in each shell without quotes. Names come from flakes, and a shell would run what
/// stands between backticks.
fn is_plain(value: &str) -> bool {
    let is_plain = |char: char| char.is_alphanumeric() || "-_./:=@+,".contains(char);
    !value.is_empty() && value.chars().all(is_plain)
}

/// The first sentence of `help`, or the part of it before a semicolon; escaped.
fn first_sentence(help: &StyledStr) -> String {
    let text = help.to_string();
    let line = text.lines().next().unwrap_or_default();
    let ends = [". ", "; "].iter().filter_map(|end| line.find(end));
    escape::line(&line[..ends.min().unwrap_or(line.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of values that no list completes.
    const FREE: &[&str] = &[
        "N",
        "SIZE",
        "TIME",
        "MINUTES",
        "SECONDS",
        "SUM",
        "NAME",
        "TEXT",
        "TAG",
        "LIST",
        "NUMBER",
        "STORE",
        "REV",
        "ID",
        "PATH",
        "COMMAND",
        "KEY",
        "USER",
        "ADDRESS",
        "RELEASE",
        "SSID",
        "SERIAL",
        "SHA256:…",
        "URL",
        "[USER@]ADDRESS",
        "NIX ARGS",
        "DEPLOY ARGS",
    ];

    #[test]
    fn every_value_has_completions_or_is_free() {
        // What is free: numbers, times, secrets, addresses, and words that only the user knows.
        fn check(command: &clap::Command, path: &str, bare: &mut Vec<String>) {
            let is_shown = |arg: &&Arg| !arg.is_hide_set() && arg.get_action().takes_values();
            for arg in command.get_arguments().filter(is_shown) {
                let is_completed = arg.get::<Candidates>().is_some()
                    || arg.get::<clap_complete::ArgValueCandidates>().is_some()
                    || !arg.get_possible_values().is_empty()
                    || !matches!(arg.get_value_hint(), ValueHint::Unknown | ValueHint::Other);
                let names = arg.get_value_names().unwrap_or_default();
                let is_free = names.iter().any(|name| FREE.contains(&name.as_str()));
                if !is_completed && !is_free {
                    bare.push(format!("{path} {}", arg.get_id()));
                }
            }
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                check(sub, &format!("{path} {}", sub.get_name()), bare);
            }
        }
        let mut bare = Vec::new();
        check(&Cli::command(), "xtask", &mut bare);
        assert_eq!(bare, [""; 0], "add Candidates to the argument, or its value to FREE");
    }

    #[test]
    fn only_values_that_no_shell_changes_are_completed() {
        for value in ["stinky", "pi-4.lan", "/dev/sdb", "--mode=delta", "küche"] {
            assert!(is_plain(value), "{value}");
        }
        for value in ["", "a b", "$(reboot)", "`reboot`", "a;b", "it's", "a\nb", "~", "a*", "\u{1b}"] {
            assert!(!is_plain(value), "{value}");
        }
    }
}
