//! The user interface: events as progress bars, plain lines or JSON; tables; prompts.

mod bars;
mod chunk_strip;
mod layout;
mod multi_progress;
mod prompt;
#[cfg(test)]
mod render_tests;

pub use bars::reporter;
pub use prompt::{Prompt, on_terminal};

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::base::{Event, Reporter, Table, escape, failure};

/// Writes a line of the result to stdout, for people.
pub fn result(text: &str) -> Result<()> {
    write_result(&escape::lines(text))
}

/// Writes a table to stdout.
pub fn table(table: &Table) -> Result<()> {
    write_result(&table.to_string())
}

/// Writes text of the tool itself to stdout, without escaping.
pub fn own(text: &'static str) -> Result<()> {
    write_result(text)
}

/// Writes the result as one line of JSON to stdout.
pub fn json(value: &impl Serialize) -> Result<()> {
    json_line(&serde_json::to_string(value).context("writing the result as JSON")?)
}

/// Writes a line of serialized JSON to stdout.
pub fn json_line(line: &str) -> Result<()> {
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

/// Prints the error of the command on stderr: with its hint for people, as an event with `--json`.
pub fn error(error: &anyhow::Error, json: bool) {
    if json {
        return bars::JsonLines.report(&Event::failed(error));
    }
    let _ = writeln!(std::io::stderr(), "{}", error_lines(&format!("{error:#}"), failure::hint(error)));
}

fn error_lines(message: &str, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!("\nhint: {}", escape::lines(hint)));
    format!("error: {}{}", escape::lines(message), hint.unwrap_or_default())
}

/// Prints an error of the command line in the layout of the parser.
pub fn usage_error(text: &str) {
    let lines = text.trim_end().split('\n').map(escape::line).collect::<Vec<_>>();
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}
