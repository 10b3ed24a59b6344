//! The pages of docs/reference, one for each command: made from the definitions of the command line, and compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;

/// The variable that makes the test write the pages instead of comparing them.
const BLESS: &str = "XTASK_BLESS";
/// How the pages are written again.
const REMEDY: &str = "XTASK_BLESS=1 cargo test -p xtask --features dev --lib -- reference";
/// What each page says of itself.
const MADE_BY: &str = "Made from the definitions of the command line by a test: see CONTRIBUTING.md.";
/// The width of the pages, in characters.
const WIDTH: usize = 120;
/// The page that lists the others.
const INDEX: &str = "README.md";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference")
}

#[test]
fn the_reference_is_that_of_the_command_line() {
    let pages = pages();
    if std::env::var_os(BLESS).is_some() {
        return bless(&pages);
    }
    let entries = folder().read_dir().expect("the folder of the reference");
    let present = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stale = present.filter(|name| !pages.contains_key(name)).collect::<Vec<_>>();
    assert_eq!(stale, [""; 0], "run `{REMEDY}`");
    for (name, page) in &pages {
        let found = fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(found == *page, "docs/reference/{name} is not what the command line says: run `{REMEDY}`");
    }
}

/// Writes the pages, and removes all others.
fn bless(pages: &BTreeMap<String, String>) {
    let _ = fs::remove_dir_all(folder());
    fs::create_dir_all(folder()).expect("making the folder of the reference");
    for (name, page) in pages {
        fs::write(folder().join(name), page).expect("writing a page");
    }
}

/// All pages, by their file names.
fn pages() -> BTreeMap<String, String> {
    let mut root = Cli::command();
    root.build();
    let mut pages = BTreeMap::new();
    let mut index = format!(
        "# Commands\n<!-- {MADE_BY} -->\n\n\
         What `help COMMAND` prints, a page for each command. `test` and `bench` need a checkout of this repository.\n\n"
    );
    add_pages(&root, "", &mut pages, &mut index);
    let mut globals = String::new();
    arguments(&mut globals, "Global options", root.get_arguments().filter(|arg| is_listed(arg)));
    pages.insert(INDEX.to_owned(), index + &globals);
    pages
}

/// The subcommands that users see.
fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

/// Adds the pages of the subcommands of `command`, whose page is `parent`, and their lines in the `index`.
fn add_pages(command: &Command, parent: &str, pages: &mut BTreeMap<String, String>, index: &mut String) {
    for sub in subcommands(command) {
        let name =
            if parent.is_empty() { sub.get_name().into() } else { format!("{parent}-{}", sub.get_name()) };
        let words =
            name.replacen(&format!("{parent}-"), &format!("{parent} "), usize::from(!parent.is_empty()));
        let (first, rest) = if parent.is_empty() { ("- ", "  ") } else { ("  - ", "    ") };
        let entry = format!("[{words}]({name}.md): {}", about(sub));
        index.push_str(&wrap(&entry, first, rest));
        pages.insert(format!("{name}.md"), page(sub, &words, &name));
        add_pages(sub, &name, pages, index);
    }
}

/// The page `name` of `command`, which the user calls by `words`.
fn page(command: &Command, words: &str, name: &str) -> String {
    let usage = command.clone().render_usage().to_string();
    let mut page = format!("# {words}\n<!-- {MADE_BY} -->\n\n");
    page.push_str(&wrap(&format!("{}.", about(command)), "", ""));
    page.extend(["\n```\n", usage.trim_end(), "\n```\n"]);
    let mut subs = subcommands(command).peekable();
    if subs.peek().is_some() {
        page.push_str("\n## Commands\n");
    }
    for sub in subs {
        let sub_name = sub.get_name();
        page.push_str(&wrap(&format!("[{sub_name}]({name}-{sub_name}.md): {}", about(sub)), "- ", "  "));
    }
    let is_global = |arg: &&Arg| arg.get_help_heading() == Some("Global options");
    let own = || command.get_arguments().filter(|arg| is_listed(arg) && !is_global(arg));
    arguments(&mut page, "Arguments", own().filter(|arg| arg.is_positional()));
    arguments(&mut page, "Options", own().filter(|arg| !arg.is_positional()));
    page.push_str("\nThe [global options](README.md#global-options) are those of all commands.\n");
    if let Some(text) = command.get_after_help() {
        page.extend(["\n```\n", text.to_string().trim_end(), "\n```\n"]);
    }
    page
}

/// Whether the help lists `arg`, and the reference does.
fn is_listed(arg: &Arg) -> bool {
    !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
}

/// Appends the section `heading` with `args` to the `page`; nothing without an argument.
fn arguments<'a>(page: &mut String, heading: &str, args: impl Iterator<Item = &'a Arg>) {
    let lines = args.map(argument).collect::<String>();
    if !lines.is_empty() {
        page.extend(["\n## ", heading, "\n", &lines]);
    }
}

/// The lines of the argument `arg`.
fn argument(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let defaults = arg.get_default_values().iter().map(|value| format!("`{}`", value.display()));
    let defaults = defaults.collect::<Vec<_>>().join(", ");
    let is_switch = !arg.get_action().takes_values();
    let default =
        if defaults.is_empty() || is_switch { String::new() } else { format!(" (default: {defaults})") };
    let name = arg.to_string();
    let text = format!("`{}`: {help}{default}.", name.trim_end_matches("..."));
    let mut lines = wrap(&text, "- ", "  ");
    for value in arg.get_possible_values().iter().filter(|_| !is_switch) {
        let help = value.get_help().map(|help| format!(": {help}")).unwrap_or_default();
        lines.push_str(&wrap(&format!("`{}`{help}", value.get_name()), "  - ", "    "));
    }
    lines
}

/// The one sentence about `command`.
fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// `text` in lines of at most [`WIDTH`] characters: the first begins with `first`, the others with `rest`.
fn wrap(text: &str, first: &str, rest: &str) -> String {
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            rest.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines + &line + "\n"
}

#[test]
fn hidden_commands_have_no_page_and_texts_are_wrapped() {
    let pages = pages();
    for name in ["flash.md", "identity-backup.md", "completions.md", INDEX] {
        assert!(pages.contains_key(name), "{name}");
    }
    for name in ["write-card.md", "__complete.md", "help.md"] {
        assert!(!pages.contains_key(name), "{name}");
    }
    let text = "ab ".repeat(100);
    assert!(wrap(&text, "- ", "  ").lines().all(|line| line.chars().count() <= WIDTH));
    assert_eq!(wrap("a b", "- ", "  "), "- a b\n");
}
