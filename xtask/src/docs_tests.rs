//! Whether the documents are true, as far as a program can tell: links, commands, exit codes and quoted messages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use crate::base::failure::{ExitKind, SUCCESS};
use crate::cli::Cli;

/// The shortest part of a quoted message that is searched for, in characters.
const MIN_PART: usize = 4;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    fs::read_to_string(repository().join(name)).expect(name)
}

/// The names of all documents, relative to the repository.
fn documents() -> Vec<String> {
    let found = |folder: &str| {
        let entries = repository().join(folder).read_dir().unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages = names.filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "md"));
        pages.map(|name| format!("{folder}{name}")).collect::<Vec<_>>()
    };
    [found(""), found("docs/")].concat()
}

/// The lines of `text` outside of code blocks (`in_code: false`), or inside of them.
fn lines(text: &str, in_code: bool) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_fence && is_code == in_code
    })
}

/// The text between backticks of a line.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(is_kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text, false).filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

/// The targets of the relative links of a document.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = lines(text, false).flat_map(|line| line.split("](").skip(1));
    targets.filter_map(|rest| rest.split_once(')')).map(|(to, _)| to).filter(|to| !to.contains("://"))
}

/// Whether the link `to` of the document `name` leads to a file, and its anchor to a heading.
fn resolves(name: &str, to: &str) -> bool {
    let (path, heading) = to.split_once('#').unwrap_or((to, ""));
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
        for link in links(&text) {
            assert!(resolves(&name, link), "{name}: {link}");
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn a_broken_link_is_found() {
    assert_eq!(anchor("What `sudo` grants, and not"), "what-sudo-grants-and-not");
    assert!(resolves("README.md", "docs/style.md#glossary") && resolves("docs/style.md", "#glossary"));
    for wrong in ["docs/none.md", "docs/style.md#none", "#none"] {
        assert!(!resolves("README.md", wrong), "{wrong}");
    }
}

/// The first two cells of each row of the table below the heading `## Exit codes`.
fn exit_codes(text: &str) -> Vec<(u8, &str)> {
    let (_, section) = text.split_once("\n## Exit codes\n").expect("a section about exit codes");
    let section = section.split("\n## ").next().unwrap_or_default();
    let cells = section.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter_map(|cells| Some((cells.get(1)?.parse().ok()?, *cells.get(2)?))).collect()
}

/// Each table has the words of [`ExitKind`], and the tables together have every code.
#[test]
fn the_exit_codes_of_the_documents() {
    let kinds = ExitKind::all().iter().map(|kind| (kind.code(), kind.meaning()));
    let known = [(0, SUCCESS)].into_iter().chain(kinds).collect::<BTreeSet<_>>();
    let complete = read("docs/troubleshooting.md");
    assert_eq!(exit_codes(&complete).into_iter().collect::<BTreeSet<_>>(), known, "docs/troubleshooting.md");
    let pages = ["docs/flashing.md", "docs/deploying.md"].map(read);
    let rows = pages.iter().map(|page| exit_codes(page).into_iter().collect::<BTreeSet<_>>());
    let together = rows.fold(BTreeSet::new(), |together, rows| &together | &rows);
    assert_eq!(together, known);
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
const ROOTS: [&str; 8] = [
    "",
    "xtask/src",
    "xtask/src/commands",
    "xtask/src/ui",
    "xtask/tests",
    "hosts",
    "hosts/raspberry-pi",
    "hosts/raspberry-pi/sd-image",
];

/// Whether `span` is the path of a file of this repository: of a kind that only source files are, and no example.
fn is_source(span: &str) -> bool {
    let kinds = ["rs", "nix", "sh"];
    let is_kind =
        Path::new(span).extension().and_then(|it| it.to_str()).is_some_and(|it| kinds.contains(&it));
    let is_example = span.contains("NAME") || span.contains("smelly") || !span.contains('/');
    is_kind && !is_example && !span.contains(' ')
}

#[test]
fn every_path_exists() {
    let exists = |path: &str| ROOTS.iter().any(|root| repository().join(root).join(path).exists());
    let mut count = 0;
    for name in documents() {
        let text = read(&name);
        for path in lines(&text, false).flat_map(spans).filter(|span| is_source(span)) {
            assert!(exists(path), "{name}: {path}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

/// The words of a command as a shell splits them, without a comment; `N` stands for a number.
fn words(command: &str) -> Vec<String> {
    let command = command.split(" #").next().unwrap_or_default();
    let pieces = command.split('\'').enumerate();
    let words = pieces.flat_map(|(index, piece)| match index % 2 {
        0 => piece.split_whitespace().collect(),
        _ => vec![piece],
    });
    words.map(|word| if word == "N" { "1".to_owned() } else { word.to_owned() }).collect()
}

/// What is wrong with a quoted command `cargo xtask …`; the name of a command alone is no mistake.
fn mistake(command: &str) -> Option<String> {
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
        let quoted = lines(&text, false).flat_map(spans);
        let shown = lines(&text, true).map(|line| line.trim_start_matches("$ "));
        let commands = quoted.chain(shown).filter(|text| text.starts_with("cargo xtask "));
        for command in commands.filter(|command| !command.contains('…')) {
            assert_eq!(mistake(command), None, "{name}: {command}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
    assert!(mistake("cargo xtask flash stinky --no-such-flag").is_some());
}

fn sources(folder: &Path, found: &mut String) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("docs_tests.rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// `text` with an ellipsis for each value of a format string, and without the line ends that a backslash hides.
fn plain(text: &str) -> String {
    let joined = text.split("\\\n").map(str::trim_start).collect::<Vec<_>>().concat();
    let mut parts = joined.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    let is_value = |value: &str| !value.contains(['"', '\n']);
    parts.fold(first, |text, part| match part.split_once('}') {
        Some((value, rest)) if is_value(value) => text + "…" + rest,
        _ => text + "{" + part,
    })
}

/// The parts of a quoted message that are the same each time: what is between ellipses, and between words such as
/// `HOST`.
fn fixed_parts(message: &str) -> Vec<String> {
    let is_placeholder = |word: &str| ["HOST", "UNIT", "FILE", "N"].contains(&word);
    let words = message.split(' ').map(|word| if is_placeholder(word) { "…" } else { word });
    let text = words.collect::<Vec<_>>().join(" ");
    let parts = text.split('…').map(|part| part.trim().to_owned());
    parts.filter(|part| part.chars().count() >= MIN_PART).collect()
}

/// The messages in the first column of the tables of `text`, whose heading is "message".
fn messages(text: &str) -> Vec<&str> {
    let mut is_message = false;
    let rows = text.lines().filter(|line| {
        is_message = line.starts_with("| message |") || is_message && line.starts_with('|');
        is_message
    });
    rows.flat_map(|row| spans(row.split('|').nth(1).unwrap_or_default())).collect()
}

#[test]
fn every_quoted_message_is_in_the_code() {
    let mut code = String::new();
    sources(&repository().join("xtask"), &mut code);
    let code = plain(&code);
    let pages = ["docs/troubleshooting.md", "docs/deploying.md"].map(read);
    let quoted = pages.iter().flat_map(|page| messages(page)).collect::<Vec<_>>();
    assert!(quoted.len() > 80, "{}", quoted.len());
    let is_absent = |message: &&&str| !fixed_parts(message).iter().all(|part| code.contains(part));
    assert_eq!(quoted.iter().filter(is_absent).collect::<Vec<_>>(), [&""; 0]);
}

/// The tests that a cell names, as `FILE` and the words behind it, each with its file.
fn cell_tests(cell: &str) -> Vec<(&str, &str)> {
    let parts = cell.split('`').skip(1).collect::<Vec<_>>();
    let files = parts.chunks(2).filter_map(|part| Some((*part.first()?, *part.get(1)?)));
    files
        .flat_map(|(file, names)| names.split([',', ';', ' ']).map(move |name| (file, name)))
        .filter(|(_, name)| !name.is_empty())
        .collect()
}

/// Whether the file has a test of that name; an ellipsis at either end stands for the rest of the name.
fn has_test(file: &str, name: &str) -> bool {
    let roots = ["xtask/src", "xtask/tests"].map(|root| repository().join(root).join(file));
    let texts = roots.iter().filter_map(|path| fs::read_to_string(path).ok()).collect::<String>();
    let functions = texts.split("fn ").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name);
    let mut names = functions.map(|function| match (name.strip_prefix('…'), name.strip_suffix('…')) {
        (Some(end), _) => function.ends_with(end),
        (None, Some(begin)) => function.starts_with(begin),
        (None, None) => function == name,
    });
    names.any(|is_same| is_same)
}

#[test]
fn the_tests_of_the_refusals_exist() {
    let page = read("docs/flashing.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| # | check |")).skip(2);
    let cells = rows.map_while(|row| row.split('|').nth(4)).collect::<Vec<_>>();
    let named = cells.iter().flat_map(|cell| cell_tests(cell)).collect::<Vec<_>>();
    assert!(named.len() > 40, "{}", named.len());
    assert_eq!(named.iter().filter(|(file, name)| !has_test(file, name)).collect::<Vec<_>>(), [&("", ""); 0]);
}
