//! The text of the help behind the list of all commands, in tables that fit the terminal.

use std::iter;

use unicode_width::UnicodeWidthStr;

use super::environment;
use crate::base::failure::{ExitKind, SUCCESS};
use crate::base::program;

/// The usual commands in their order.
const WORKFLOW: &[(&str, &str)] = &[
    ("cargo xtask", "show where things stand, and what comes next"),
    ("cargo xtask new-host NAME …", "write the files of a new host"),
    ("cargo xtask up HOST", "all of the following, as far as it is left to do"),
    ("cargo xtask sd-image HOST", "build the image and print its path"),
    ("cargo xtask flash HOST DEVICE", "build the image, write it to a card and verify the card"),
    ("cargo xtask deploy HOST", "update the running host over ssh"),
    ("cargo xtask status", "show what each host runs"),
];

/// The least room for the second column, in columns. With less, it has lines of its own.
const MIN_ROOM: usize = 24;
/// The indent of a second column with lines of its own.
const INDENT: usize = 8;

/// The usual commands, the exit codes, and the variables of the environment, at most `width` columns wide.
pub fn after_help(width: usize) -> String {
    let commands =
        WORKFLOW.iter().map(|(command, meaning)| (program::as_called((*command).to_owned()), *meaning));
    let failures = ExitKind::all().iter().map(|kind| (kind.code(), kind.meaning()));
    let codes =
        iter::once((0, SUCCESS)).chain(failures).map(|(code, meaning)| (format!("{code:>3}"), meaning));
    let variables = environment::VARIABLES.iter().map(|(names, meaning)| ((*names).to_owned(), *meaning));
    let [commands, codes, variables] =
        [commands.collect::<Vec<_>>(), codes.collect(), variables.collect()].map(|rows| table(&rows, width));
    format!(
        "From a flake to a running host:\n{commands}\n\nExit codes:\n{codes}\n\nEnvironment:\n{variables}"
    )
}

/// The lines of a table with two columns.
fn table(rows: &[(String, &str)], width: usize) -> String {
    let first = rows.iter().map(|(name, _)| name.width()).max().unwrap_or_default();
    let beside = first + 4;
    let fits = beside + MIN_ROOM <= width;
    let indent = if fits { beside } else { INDENT };
    let row = |(name, meaning): &(String, &str)| {
        let text = fold(meaning, width.saturating_sub(indent), indent);
        let gap =
            if fits { " ".repeat(first - name.width() + 2) } else { format!("\n{}", " ".repeat(indent)) };
        format!("  {name}{gap}{text}")
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// `text` in lines of at most `room` columns, of which all but the first have this `indent`.
fn fold(text: &str, room: usize, indent: usize) -> String {
    let mut lines = Vec::<String>::new();
    for word in text.split(' ') {
        match lines.last_mut().filter(|line| line.width() + 1 + word.width() <= room) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_fit_every_terminal() {
        for width in [40, 60, 80, 100, 200] {
            let text = after_help(width);
            // A program that was called by a long path has long commands.
            let is_command = |line: &&str| line.contains(&program::as_called("cargo xtask".into()));
            let lines = text.lines().filter(|line| !is_command(line));
            let wide = lines.filter(|line| line.width() > width).collect::<Vec<_>>();
            assert_eq!(wide, [""; 0], "{width}");
        }
        let rows = [("cargo xtask up".to_owned(), "all of the following steps"), ("x".to_owned(), "short")];
        let beside =
            "  cargo xtask up  all of the following\n                  steps\n  x               short";
        assert_eq!(table(&rows, 42), beside);
        let below = "  cargo xtask up\n        all of the following steps\n  x\n        short";
        assert_eq!(table(&rows, 40), below);
    }
}
