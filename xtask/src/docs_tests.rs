//! Whether the documents are true, as far as a program can tell: links, paths, commands, exit codes and quoted
//! messages.

mod messages;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use crate::base::failure::{ExitKind, SUCCESS};
use crate::cli::Cli;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).expect(name)
}

/// The names of all documents, relative to the repository.
fn documents() -> Vec<String> {
    let pages_in = |folder: &str| {
        let entries = repository().join(folder).read_dir().unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages = names.filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "md"));
        pages.map(|name| format!("{folder}{name}")).collect::<Vec<_>>()
    };
    [pages_in(""), pages_in("docs/"), pages_in("docs/reference/")].concat()
}

/// The lines of a document, without the fences of its code blocks.
#[derive(Default)]
struct Lines<'a> {
    /// The lines inside of code blocks.
    code: Vec<&'a str>,
    /// The lines outside of code blocks.
    prose: Vec<&'a str>,
}

fn split_lines(text: &str) -> Lines<'_> {
    let mut lines = Lines::default();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            lines.code.push(line);
        } else {
            lines.prose.push(line);
        }
    }
    lines
}

/// The code spans of a line: the texts between backticks.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(is_kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of all headings of a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = split_lines(text).prose.into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

/// The targets of the relative links of a document.
fn relative_links(text: &str) -> Vec<&str> {
    let tails = split_lines(text).prose.into_iter().flat_map(|line| line.split("](").skip(1));
    let targets = tails.filter_map(|tail| tail.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://")).collect()
}

/// Whether the file and the heading that `link` names exist. Its path begins in the folder of the document `name`.
fn is_valid_link(name: &str, link: &str) -> bool {
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let page = match path {
        "" => repository().join(name),
        path => repository().join(name).with_file_name("").join(path),
    };
    page.exists() && (heading.is_empty() || anchors(&fs::read_to_string(page).unwrap()).contains(heading))
}

#[test]
fn every_link_resolves() {
    let mut count = 0;
    for name in documents() {
        let text = read(&name);
        for link in relative_links(&text) {
            assert!(is_valid_link(&name, link), "{name}: {link}");
            count += 1;
        }
    }
    // The documents have many links: with fewer, the search has missed some.
    assert!(count > 40, "{count}");
}

#[test]
fn a_link_is_valid_where_its_file_and_its_heading_exist() {
    assert_eq!(anchor("What `sudo` grants, and not"), "what-sudo-grants-and-not");
    assert!(is_valid_link("README.md", "docs/style.md#glossary"));
    assert!(is_valid_link("docs/style.md", "#glossary"));
    for wrong in ["docs/none.md", "docs/style.md#none", "#none"] {
        assert!(!is_valid_link("README.md", wrong), "{wrong}");
    }
}

/// The exit codes and their meanings in the table below the heading `## Exit codes`.
fn exit_codes(text: &str) -> Vec<(u8, &str)> {
    let (_, section) = text.split_once("\n## Exit codes\n").expect("a section about exit codes");
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter_map(|cells| Some((cells.get(1)?.parse().ok()?, *cells.get(2)?))).collect()
}

/// All tables have the words of [`ExitKind`]. That of `docs/troubleshooting.md` has every code, and so have the two
/// others together.
#[test]
fn the_exit_codes_of_the_documents_are_those_of_the_tool() {
    let kinds = ExitKind::all().iter().map(|kind| (kind.code(), kind.meaning()));
    let known = [(0, SUCCESS)].into_iter().chain(kinds).collect::<BTreeSet<_>>();
    let complete = read("docs/troubleshooting.md");
    assert_eq!(exit_codes(&complete).into_iter().collect::<BTreeSet<_>>(), known, "docs/troubleshooting.md");
    let pages = ["docs/flashing.md", "docs/deploying.md"].map(read);
    assert_eq!(pages.iter().flat_map(|page| exit_codes(page)).collect::<BTreeSet<_>>(), known);
}

/// The width of the documents, in characters. Tables are wider.
const WIDTH: usize = 120;

#[test]
fn no_line_is_too_wide() {
    for name in documents() {
        let text = read(&name);
        let prose = text.lines().filter(|line| !line.starts_with('|'));
        let wide = prose.filter(|line| line.chars().count() > WIDTH);
        assert_eq!(wide.collect::<Vec<_>>(), [""; 0], "{name}");
    }
}

/// The folders in which the documents name files.
const ROOTS: &[&str] = &[
    "",
    "xtask/src",
    "xtask/src/commands",
    "xtask/src/ui",
    "xtask/tests",
    "hosts",
    "hosts/raspberry-pi",
    "hosts/raspberry-pi/sd-image",
];

/// Whether `span` is the path of a source file of this repository. A name without a folder is none, and neither is a
/// path of an example.
fn is_source_path(span: &str) -> bool {
    let ending = Path::new(span).extension().and_then(|ending| ending.to_str());
    let is_example = span.contains("NAME") || span.contains("smelly");
    matches!(ending, Some("rs" | "nix" | "sh")) && span.contains('/') && !is_example && !span.contains(' ')
}

#[test]
fn every_path_exists() {
    let exists = |path: &str| ROOTS.iter().any(|root| repository().join(root).join(path).exists());
    let mut count = 0;
    for name in documents() {
        let text = read(&name);
        let spans = split_lines(&text).prose.into_iter().flat_map(code_spans);
        for path in spans.filter(|span| is_source_path(span)) {
            assert!(exists(path), "{name}: {path}");
            count += 1;
        }
    }
    // The documents have many paths: with fewer, the search has missed some.
    assert!(count > 60, "{count}");
}

/// The words of a command as a shell splits them, without a comment, a redirection, and what follows these. `N`, which
/// stands for a number, becomes `1`.
fn words(command: &str) -> Vec<String> {
    let command = command.split(" #").next().unwrap_or_default();
    let pieces = command.split('\'').enumerate();
    let words = pieces.flat_map(|(index, piece)| {
        let is_quoted = index % 2 == 1;
        if is_quoted { vec![piece] } else { piece.split_whitespace().collect() }
    });
    let is_of_shell = |word: &&str| [">", "2>", "|", "<"].iter().any(|sign| word.starts_with(sign));
    let words = words.take_while(|word| !is_of_shell(word));
    words.map(|word| if word == "N" { "1".to_owned() } else { word.to_owned() }).collect()
}

/// The parser's error about a quoted command `cargo xtask …`. `None` for a correct command, and for one whose arguments
/// are missing: documents also quote the names of commands alone.
fn command_error(command: &str) -> Option<String> {
    let error = Cli::try_parse_from(words(command).into_iter().skip(1)).err()?;
    let is_incomplete = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
    );
    (!is_incomplete).then(|| error.to_string())
}

#[test]
fn every_command_parses() {
    let mut count = 0;
    for name in documents() {
        let text = read(&name);
        let lines = split_lines(&text);
        let quoted = lines.prose.into_iter().flat_map(code_spans);
        // A workflow of a forge has commands as `- run: …`.
        let shown =
            lines.code.into_iter().map(|line| line.trim_start().strip_prefix("- run: ").unwrap_or(line));
        let shown = shown.map(|line| line.trim_start_matches("$ "));
        let commands = quoted.chain(shown).filter(|text| text.starts_with("cargo xtask "));
        for command in commands.filter(|command| !command.contains('…')) {
            assert_eq!(command_error(command), None, "{name}: {command}");
            count += 1;
        }
    }
    // The documents have many commands: with fewer, the search has missed some.
    assert!(count > 60, "{count}");
}

#[test]
fn a_command_with_an_unknown_flag_has_an_error() {
    assert!(command_error("cargo xtask flash stinky --no-such-flag").is_some());
}
