//! The user interface: events as progress bars, plain lines or JSON; tables; prompts.

mod bar_terminal;
mod bars;
mod charset;
mod chunk_strip;
mod command_line;
mod filter;
mod fold;
mod json;
mod layout;
mod log_reporter;
mod message;
mod next;
mod open_events;
mod open_phases;
mod phase_bar;
mod phase_state;
mod progress_line;
mod prompt;
#[cfg(test)]
mod render_tests;
mod shorten;
pub mod style;
mod subject_board;
mod subject_lines;
mod table;
mod task_board;
mod words;

pub use bars::reporter;
#[cfg(test)]
pub use json::{EventLine, PrintedResult};
pub use json::{end_events, print_json, print_json_result};
pub use next::{end_with, print_next_step};
pub use prompt::{Answer, MAX_ANSWERS, MAX_ANSWERS_BEFORE_LOSS, Prompt, TerminalApprover, can_ask, is_no};

use std::io::{ErrorKind, Write};

use anstream::adapter::strip_str;
use anyhow::{Context, Result};
use unicode_width::UnicodeWidthStr;

use crate::base::failure::{self, Reason};
use crate::base::{Event, Reporter, Table, Tone, escape, program, redact};
use charset::Charset;
use style::{Role, Stream};

/// Writes a line of the result to stdout, for people; folded on a terminal.
pub fn print_result(text: &str) -> Result<()> {
    write_result(&lay_out(&escape::lines(text), Stream::Stdout))
}

/// Writes a line of the result to stdout that says how something has ended. On a terminal it has the symbol and the
/// colour of `tone`.
pub fn print_verdict(text: &str, tone: Tone) -> Result<()> {
    write_result(&verdict_lines(&escape::lines(text), tone, Stream::Stdout))
}

/// Writes a line of the result to stdout that users copy, such as a path: it is never cut or folded.
pub fn print_verbatim(text: &str) -> Result<()> {
    write_result(&program::as_called(escape::line(text)))
}

/// Writes a table to stdout; on a terminal it is cut to the width, see [`table`].
pub fn print_table(table: &Table) -> Result<()> {
    write_result(&table::lines(table, Stream::Stdout))
}

/// Writes a table that a question is about to stderr; on a terminal it is cut to the width, see [`table`].
pub fn show_table(table: &Table) -> Result<()> {
    write_lines(std::io::stderr(), &table::lines(table, Stream::Stderr)).context("showing a table")
}

/// Writes lines to stdout that the user copies into a file: escaped, and not folded.
pub fn print_lines(text: &str) -> Result<()> {
    write_result(&text.lines().map(escape::line).collect::<Vec<_>>().join("\n"))
}

/// Writes a text of the tool itself to stdout: it needs no escaping, and its lines are not folded.
pub fn print_own_text(text: &str) -> Result<()> {
    write_result(text)
}

/// The most columns of a line of a log on a terminal: arguments for Nix are pages of its language.
const LOG_LINE: usize = 400;

/// Writes a log to stdout, line by line as it is: only invisible characters are escaped, and on a terminal lines of
/// more than [`LOG_LINE`] columns are cut in their middle. Returns whether one was cut.
pub fn print_log(text: &str) -> Result<bool> {
    let charset = Charset::of_locale();
    let width = if Stream::Stdout.is_terminal() { LOG_LINE } else { usize::MAX };
    let whole = text.lines().map(escape::line).collect::<Vec<_>>();
    let shown = whole.iter().map(|line| shorten::middle(line, width, charset.ellipsis())).collect::<Vec<_>>();
    write_result(&charset.spell(shown.join("\n")))?;
    Ok(shown != whole)
}

/// The escaped `text` as `stream` shows it: spelled for people, on a terminal folded, and with colours where the stream
/// has them.
fn lay_out(text: &str, stream: Stream) -> String {
    stream.paint_labels(&fold_for_people(text, stream))
}

/// The escaped `text` spelled for people, and folded where `stream` is a terminal.
fn fold_for_people(text: &str, stream: Stream) -> String {
    fold::fold_for(stream, &for_people(text.to_owned()))
}

/// Like [`lay_out`], for a verdict of this `tone`.
fn verdict_lines(text: &str, tone: Tone, stream: Stream) -> String {
    let role = Role::of(tone).filter(|_| stream.is_terminal());
    let shown = fold_for_people(&format!("{}{text}", symbol(role)), stream);
    role.map_or_else(|| shown.clone(), |role| stream.paint(role, &shown))
}

/// The symbol of a verdict in `role` with a blank behind it, or nothing without a role.
fn symbol(role: Option<Role>) -> String {
    let symbol = role.and_then(|role| role.symbol(Charset::of_locale()));
    symbol.map(|symbol| format!("{symbol} ")).unwrap_or_default()
}

/// Writes the completions of a command line to stdout, each a line that needs no escaping.
pub fn print_completions(lines: &[String]) -> Result<()> {
    write_result(&lines.join("\n"))
}

/// `text` for people: with the name by which they call the program, and in the characters of their locale. Secrets are
/// left out before the text is folded, which could part them.
fn for_people(text: String) -> String {
    Charset::of_locale().spell(redact::without_passwords(&program::as_called(text)))
}

/// Writes a line of serialized JSON to stdout, escaped.
pub fn print_json_line(line: &str) -> Result<()> {
    write_result(&escape::json(line))
}

/// Writes lines of the story to stderr. A closed or full stderr is not an error.
fn write_story(lines: &str) {
    let _ = write_lines(std::io::stderr(), lines);
}

/// Writes lines with the line break behind them at once: the lines of several runs that share a file or a pipe stay
/// apart. All that is printed passes here, and loses the passwords of its addresses.
fn write_lines(mut stream: impl Write, lines: &str) -> std::io::Result<()> {
    stream.write_all(format!("{}\n", redact::without_passwords(lines)).as_bytes())
}

/// Writes lines to stdout. A closed pipe (`| head`) is not an error.
///
/// # Errors
/// Any other write error, such as a full disk: a lost result is a failure.
fn write_result(lines: &str) -> Result<()> {
    match write_lines(std::io::stdout(), lines) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing the result to stdout")
        }
        _ => Ok(()),
    }
}

/// Prints the error of the command on stderr: with its hint and its reasons for people, as an event with `--json`.
pub fn print_error(error: &anyhow::Error, json: bool) {
    if json {
        return json::print_last_event(&Event::failed(error));
    }
    let lines = error_lines(&failure::text(error), failure::hint(error), failure::listed_reasons(error));
    write_story(&lay_out(&lines, Stream::Stderr));
}

/// Prints an event on stderr after the command has ended.
pub fn print_event(event: &Event, json: bool) {
    if json { json::print_last_event(event) } else { bars::PlainLines.report(event) }
}

/// The lines of an error for people. Each of several reasons is an item of a list, followed by its hint.
fn error_lines(message: &str, hint: Option<&str>, reasons: &[Reason]) -> String {
    let colon = if reasons.is_empty() { "" } else { ":" };
    let reasons = reasons.iter().map(reason_lines).collect::<String>();
    let hint = hint.map(|hint| format!("\nhint: {}", escape::lines(hint))).unwrap_or_default();
    format!("error: {}{colon}{reasons}{hint}", escape::lines(message))
}

/// The lines of a reason and of its hint, each with a line break before it. The later lines of either, such as those of
/// the log of a build, are indented further than its hint.
fn reason_lines(reason: &Reason) -> String {
    let indented = |text: &str| escape::lines(text).replace("\n  ", "\n      ");
    let hint = reason.hint.as_ref().map(|hint| format!("\n    hint: {}", indented(hint)));
    format!("\n  - {}{}", indented(&reason.message), hint.unwrap_or_default())
}

/// The width of the help, in columns: that of the terminal, as far as lines are easy to read.
pub fn help_width() -> usize {
    Stream::Stdout.width().unwrap_or(program::HELP_WIDTH).min(program::HELP_WIDTH)
}

/// Prints the help or the version that the user asked for.
pub fn print_help(text: &clap::Error) -> Result<()> {
    write_result(for_people(parser_text(text, Stream::Stdout)).trim_end())
}

/// Prints the `error` of the command line, which the parser has laid out. `escaped` is the same error about words that
/// were escaped before; only the colours of the parser are left in it.
pub fn print_usage_error(error: &clap::Error, escaped: Option<&clap::Error>) {
    let text = escaped.map_or_else(
        || error.render().to_string().trim_end().split('\n').map(escape::line).collect::<Vec<_>>().join("\n"),
        |escaped| parser_text(escaped, Stream::Stderr),
    );
    write_story(&for_people(text.trim_end().to_owned()));
}

/// The `text` of the parser as `stream` shows it. The parser folds its texts, but no usage and no error: those lines
/// lose their colours, except for that of their label.
fn parser_text(text: &clap::Error, stream: Stream) -> String {
    let text = text.render();
    let text = if stream.has_colours() { text.ansi().to_string() } else { text.to_string() };
    let Some(width) = stream.width() else { return text };
    let lines = text.split('\n').map(|line| {
        // A program that was called by its path has a longer name.
        let plain = for_people(strip_str(line).to_string());
        if plain.width() <= width { line.to_owned() } else { lay_out(&plain, stream) }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how often it is written to.
    struct Counter(usize);

    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_and_its_end_are_written_at_once() {
        let mut counter = Counter(0);
        write_lines(&mut counter, "one\ntwo").unwrap();
        assert_eq!(counter.0, 1);
    }
}
