//! The user interface: events as progress bars, plain lines or JSON; tables; prompts.

mod bars;
mod charset;
mod chunk_strip;
mod fold;
mod json;
mod layout;
mod multi_progress;
mod progress_line;
mod prompt;
#[cfg(test)]
mod render_tests;

pub use bars::reporter;
pub use json::{print_json, print_json_result};
pub use prompt::{Prompt, can_ask};

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

use crate::base::failure::{self, Reason};
use crate::base::{Event, Reporter, Table, escape, program};
use charset::Charset;

/// Writes a line of the result to stdout, for people; folded on a terminal.
pub fn print_result(text: &str) -> Result<()> {
    write_result(&fold::fold_for_stdout(&program::as_called(escape::lines(text))))
}

/// Writes a table to stdout; folded within its columns on a terminal.
pub fn print_table(table: &Table) -> Result<()> {
    let text = fold::stdout_width().map_or_else(|| table.to_string(), |width| table.fitted(width));
    write_result(&for_people(text))
}

/// Writes a text of the tool itself to stdout: it needs no escaping, and its lines are not folded.
pub fn print_own_text(text: &'static str) -> Result<()> {
    write_result(text)
}

/// `text` for people: with the name by which they call the program, and in the characters of their locale.
fn for_people(text: String) -> String {
    Charset::of_locale().spell(program::as_called(text))
}

/// Writes a line of serialized JSON to stdout, escaped.
pub fn print_json_line(line: &str) -> Result<()> {
    write_result(&escape::json(line))
}

/// Writes lines to stdout. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// Any other write error, such as a full disk: a lost result is a failure.
fn write_result(lines: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{lines}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing the result to stdout")
        }
        _ => Ok(()),
    }
}

/// Prints the error of the command on stderr: with its hint and its reasons for people, as an event with `--json`.
pub fn print_error(error: &anyhow::Error, json: bool) {
    if json {
        return json::JsonLines.report(&Event::failed(error));
    }
    let lines = error_lines(&format!("{error:#}"), failure::hint(error), failure::reasons(error));
    let _ = writeln!(std::io::stderr(), "{}", fold::fold_for_stderr(&for_people(lines)));
}

/// The lines of an error for people. Each of several reasons is one line, followed by the line of its hint.
fn error_lines(message: &str, hint: Option<&str>, reasons: &[Reason]) -> String {
    let colon = if reasons.is_empty() { "" } else { ":" };
    let reasons = reasons.iter().map(reason_lines).collect::<String>();
    let hint = hint.map(|hint| format!("\nhint: {}", escape::lines(hint))).unwrap_or_default();
    format!("error: {}{colon}{reasons}{hint}", escape::lines(message))
}

/// The line of a reason and that of its hint, each with a line break before it.
fn reason_lines(reason: &Reason) -> String {
    let hint = reason.hint.as_ref().map(|hint| format!("\n    hint: {}", escape::line(hint)));
    format!("\n  - {}{}", escape::line(&reason.message), hint.unwrap_or_default())
}

/// Prints the help or the version that the user asked for, and returns whether that succeeded.
pub fn print_help(text: &clap::Error) -> bool {
    let plain = program::as_called(text.render().to_string());
    write_result(plain.trim_end()).is_ok()
}

/// Prints the error `text` of the command line, which the parser has laid out.
pub fn print_usage_error(text: &str) {
    let lines = text.trim_end().split('\n').map(escape::line).collect::<Vec<_>>();
    let _ = writeln!(std::io::stderr(), "{}", for_people(lines.join("\n")));
}
