//! Whether the messages that the documents quote are in the code, and whether the tests that they name exist.

use std::fs;
use std::path::Path;

use super::{code_spans, documents, read, repository};

/// The shortest part of a quoted message that is searched for, in characters.
const MIN_PART: usize = 4;

/// Appends the text of all Rust files below `folder` to `code`, except of this file.
fn append_sources(folder: &Path, code: &mut String) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            append_sources(&path, code);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !path.ends_with("docs_tests/messages.rs")
        {
            code.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// The source text `code` with its messages as documents quote them: with an ellipsis for each value of a format
/// string, and without the line ends that a backslash hides.
fn with_ellipses(code: &str) -> String {
    let joined = code.split("\\\n").map(str::trim_start).collect::<Vec<_>>().concat();
    let mut parts = joined.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}') {
            Some((value, rest)) if !value.contains(['"', '\n']) => text.extend(["…", rest]),
            _ => text.extend(["{", part]),
        }
    }
    text
}

/// The parts of a quoted message that are the same each time: the texts between ellipses, and between placeholders such
/// as `HOST`.
fn fixed_parts(message: &str) -> Vec<String> {
    let is_placeholder = |word: &str| ["HOST", "UNIT", "FILE", "N"].contains(&word);
    let words = message.split(' ').map(|word| if is_placeholder(word) { "…" } else { word });
    let text = words.collect::<Vec<_>>().join(" ");
    let parts = text.split('…').map(|part| part.trim().to_owned());
    parts.filter(|part| part.chars().count() >= MIN_PART).collect()
}

/// The messages that `text` quotes: in headings that are a quote alone, and in the first column of the tables that have
/// the heading "message".
fn messages(text: &str) -> Vec<&str> {
    let mut messages = Vec::new();
    let mut is_in_table = false;
    for line in text.lines() {
        is_in_table = line.starts_with("| message |") || is_in_table && line.starts_with('|');
        if line.starts_with("### `") {
            messages.extend(code_spans(line));
        }
        if is_in_table {
            messages.extend(code_spans(line.split('|').nth(1).unwrap_or_default()));
        }
    }
    messages
}

/// The source text of the tool as documents quote its messages.
fn quotable_code() -> String {
    let mut code = String::new();
    append_sources(&repository().join("xtask"), &mut code);
    with_ellipses(&code)
}

/// The lines of the blocks of the language `output` in `text`.
fn output_lines(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("```output\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
    blocks.flat_map(str::lines).filter(|line| !line.starts_with("$ "))
}

/// `line` with an ellipsis for each word that a run decides: one with a digit, a unit, a path or a name of an example.
fn without_values(line: &str) -> String {
    let names = ["KiB", "MiB", "GiB", "stinky", "smelly", "attic", "them?", "ppetru", "laptop"];
    let is_name = |word: &str| names.iter().any(|name| word.contains(name));
    let is_value =
        |word: &str| word.contains(|c: char| c.is_ascii_digit() || "/…@".contains(c)) || is_name(word);
    // The code has the headings of a table one by one, and the label of a line apart from its text.
    let is_heading = |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
    let is_label =
        |word: &str| ["error:", "hint:", "next:", "warning:", "warning", "identity"].contains(&word);
    let line = line.trim_start();
    let line = line.split_once(' ').filter(|(word, _)| is_label(word)).map_or(line, |(_, text)| text);
    let words = line.split_whitespace().map(|word| match word {
        word if is_value(word) => "…".to_owned(),
        word if is_heading(word) => format!("… {word} …"),
        word => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_quoted_message_is_in_the_code() {
    let code = quotable_code();
    let pages = ["docs/troubleshooting.md", "docs/deploying.md"].map(read);
    let quoted = pages.iter().flat_map(|page| messages(page)).collect::<Vec<_>>();
    assert!(quoted.len() > 80, "{}", quoted.len());
    let is_in_code = |message: &str| fixed_parts(message).iter().all(|part| code.contains(part));
    let missing = quoted.into_iter().filter(|message| !is_in_code(message)).collect::<Vec<_>>();
    assert_eq!(missing, [""; 0]);
}

/// Output that no suite can run for a page, such as that of a card that fails.
#[test]
fn every_line_of_output_is_in_the_code() {
    let code = quotable_code().split_whitespace().collect::<Vec<_>>().join(" ");
    let pages = documents().into_iter().map(|name| (read(&name), name)).collect::<Vec<_>>();
    let lines = pages.iter().flat_map(|(text, name)| output_lines(text).map(move |line| (name, line)));
    let lines = lines.collect::<Vec<_>>();
    // The documents have many lines of output: with fewer, the search has missed some.
    assert!(lines.len() > 30, "{}", lines.len());
    let is_in_code = |line: &str| fixed_parts(&without_values(line)).iter().all(|part| code.contains(part));
    let missing = lines.into_iter().filter(|(_, line)| !is_in_code(line)).collect::<Vec<_>>();
    assert_eq!(missing, []);
}

/// The tests that a cell names, each with its file: `(FILE, NAME)`. A cell has files between backticks, and behind each
/// file the names of its tests.
fn cell_tests(cell: &str) -> Vec<(&str, &str)> {
    let parts = cell.split('`').skip(1).collect::<Vec<_>>();
    let mut tests = Vec::new();
    for part in parts.chunks(2) {
        if let [file, names] = part {
            let names = names.split([',', ';', ' ']).filter(|name| !name.is_empty());
            tests.extend(names.map(|name| (*file, name)));
        }
    }
    tests
}

/// Whether the file has a test with this name. An ellipsis at either end of the name stands for the rest of it.
fn has_test(file: &str, name: &str) -> bool {
    let roots = ["xtask/src", "xtask/tests"].map(|root| repository().join(root).join(file));
    let texts = roots.iter().filter_map(|path| fs::read_to_string(path).ok()).collect::<String>();
    let tails = texts.split("fn ").skip(1);
    let mut functions = tails.filter_map(|tail| tail.split_once('(')).map(|(function, _)| function);
    functions.any(|function| match (name.strip_prefix('…'), name.strip_suffix('…')) {
        (Some(end), _) => function.ends_with(end),
        (None, Some(beginning)) => function.starts_with(beginning),
        (None, None) => function == name,
    })
}

#[test]
fn the_tests_of_the_refusals_exist() {
    let page = read("docs/flashing-tests.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| # | check |")).skip(2);
    let cells = rows.map_while(|row| row.split('|').nth(4)).collect::<Vec<_>>();
    let named = cells.iter().flat_map(|cell| cell_tests(cell)).collect::<Vec<_>>();
    assert!(named.len() > 40, "{}", named.len());
    assert_eq!(named.iter().filter(|(file, name)| !has_test(file, name)).collect::<Vec<_>>(), [&("", ""); 0]);
}
