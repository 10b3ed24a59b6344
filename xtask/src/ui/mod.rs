//! Everything that reaches the user: events as bars, plain lines or JSON, tables, prompts, sizes.

mod bars;
mod board;
mod event;
mod layout;
mod phase;
mod plain;
mod prompt;
mod size;
mod strip;
mod table;

pub use bars::reporter;
pub use event::{Event, OfHost, Reporter, Silent};
pub use phase::Phase;
pub use plain::Plain;
pub use prompt::{Prompt, on_terminal};
pub use size::{Bytes, parse_bytes};
pub use strip::{Fate, Run};
pub use table::Table;

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Writes one line of the result to stdout. A closed pipe (`| head`) ends the output quietly.
///
/// # Errors
/// Whatever else keeps the line from its reader, such as a full disk: a result that is lost is no success.
pub fn result(line: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing the result to stdout")
        }
        _ => Ok(()),
    }
}

/// Reports on stderr the error that ends the command: in words, or as an event for programs.
pub fn error(error: &anyhow::Error, code: u8, json: bool) {
    let message = format!("{error:#}");
    if json {
        return bars::JsonLines.report(&Event::Failed { code, message });
    }
    let _ = writeln!(std::io::stderr(), "error: {message}");
}
