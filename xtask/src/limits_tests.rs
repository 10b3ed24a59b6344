//! The limits of docs/style.md: files and functions that are read at one glance.

use std::path::Path;

use crate::wings_tests::{append_files, own_sources};

/// The number of lines that a file has at most.
const MAX_FILE: usize = 299;
/// The number of lines that a function has at most, from its first line to its closing brace.
const MAX_FUNCTION: usize = 45;
/// The number of characters that a line with a comment has at most. rustfmt wraps the lines of code.
const MAX_COMMENT: usize = 120;

/// The words before the name of a function.
const QUALIFIERS: &[&str] = &["pub", "pub(super)", "pub(crate)", "const", "async", "unsafe"];

/// Whether a function begins at `line`.
fn begins_function(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| QUALIFIERS.contains(word));
    words.next() == Some("fn")
}

/// The numbers of the first lines and the lengths of all functions in `text`, which rustfmt has formatted: the closing
/// brace is indented as the first line is.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines = text.lines().collect::<Vec<_>>();
    let mut functions = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| begins_function(line)) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_end = |line: &&str| line.strip_prefix(indent) == Some("}");
        let is_one_line = line.ends_with([';', '}']);
        let rest = lines[index..].iter().position(is_end).filter(|_| !is_one_line);
        functions.push((index + 1, rest.unwrap_or_default() + 1));
    }
    functions
}

#[test]
fn files_and_functions_are_short() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut long = Vec::new();
    for file in own_sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(package).unwrap().display();
        let count = text.lines().count();
        long.extend((count > MAX_FILE).then(|| format!("{name} has {count} lines")));
        let functions = functions(&text).into_iter().filter(|(_, length)| *length > MAX_FUNCTION);
        long.extend(functions.map(|(line, length)| format!("{name}:{line} has {length} lines")));
        let is_wide = |line: &str| line.trim_start().starts_with("//") && line.chars().count() > MAX_COMMENT;
        let wide = text.lines().zip(1..).filter(|(line, _)| is_wide(line));
        long.extend(wide.map(|(_, number): (_, u32)| format!("{name}:{number} is too wide")));
    }
    assert_eq!(long, [""; 0]);
}

#[test]
fn functions_are_measured_to_their_closing_brace() {
    let text = "pub fn a() {\n    if x {\n    }\n}\n\nimpl B {\n    const fn b(\n        c: u8,\n    ) {\n    }\n    fn d();\n    fn e() {}\n}\n";
    assert_eq!(functions(text), [(1, 4), (7, 4), (11, 1), (12, 1)]);
}

/// As `nix flake check` demands it, here also without Nix.
#[test]
fn nix_files_have_the_format_of_nixfmt() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = ["hosts", "nix", "templates", "xtask"].iter().fold(Vec::new(), |mut files, folder| {
        append_files(&repository.join(folder), "nix", &mut files);
        files
    });
    files.extend(Some(repository.join("flake.nix")).filter(|file| file.exists()));
    let is_formatted = |file: &Path| {
        let text = std::fs::read_to_string(file).unwrap();
        nixfmt_rs::format(&text).is_ok_and(|formatted| formatted == text)
    };
    assert!(files.len() > 30, "{files:?}");
    files.retain(|file| !is_formatted(file));
    assert!(files.is_empty(), "not formatted: {files:?}");
}
