//! The next step, with which a command ends: a line on stderr, or a field of the result as JSON.

use std::sync::{Mutex, PoisonError};

use unicode_width::UnicodeWidthStr;

use super::style::Stream;
use super::{for_people, lay_out};
use crate::base::{NextStep, escape};

/// The next step of this run, once it is known.
static NEXT: Mutex<Option<NextStep>> = Mutex::new(None);

/// What a line of a command begins with, where the command has lines of its own.
const INDENT: &str = "  ";
/// What a shell reads on behind, with the blank before it.
const CONTINUED: &str = " \\";

/// Gives `step` as the next step after this run. [`print_next_step`] prints it when the command has succeeded; after a
/// failure, the hint of the error counts.
pub fn end_with(step: NextStep) {
    *NEXT.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
}

/// Takes the next step of this run, for its result as JSON.
pub fn take() -> Option<NextStep> {
    NEXT.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Prints the next step of this run on stderr, so that stdout is the result.
pub fn print_next_step() {
    if let Some(step) = take() {
        super::write_story(&lines(&step, Stream::Stderr));
    }
}

/// The lines of `step` on `stream`. The command is for copying: on a terminal that is too narrow for it, it has lines
/// of its own, which a shell reads as one, and its paths stay whole.
fn lines(step: &NextStep, stream: Stream) -> String {
    let text = for_people(escape::lines(&step.to_string()));
    let (first, reason) = text.split_once('\n').unwrap_or((&text, ""));
    let command = for_people(escape::line(&step.command));
    let width = stream.width().filter(|width| first.width() > *width);
    let (Some(width), Some(head)) = (width, first.strip_suffix(&command)) else {
        return lay_out(&text, stream);
    };
    let head = lay_out(head.trim_end(), stream);
    let command = command_lines(&command, width);
    let reason = if reason.is_empty() { String::new() } else { format!("\n{}", lay_out(reason, stream)) };
    format!("{head}\n{command}{reason}")
}

/// `command` in lines of at most `width` columns, unless a word is wider, each but the last continued for a shell.
fn command_lines(command: &str, width: usize) -> String {
    let room = width.saturating_sub(CONTINUED.len());
    let mut lines = Vec::<String>::new();
    for word in words(command) {
        match lines.last_mut().filter(|line| line.width() + 1 + word.width() <= room) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(format!("{INDENT}{word}")),
        }
    }
    lines.join(&format!("{CONTINUED}\n"))
}

/// The words of `command`, split at blanks that no quotes enclose.
fn words(command: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    command.split(move |c| {
        is_quoted ^= c == '\'';
        c == ' ' && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_folded_as_a_shell_reads_it() {
        let path = format!("/nix/store/{}-image/sd-image/image.img.zst", "a".repeat(32));
        for (command, width, expected) in [
            ("cargo xtask deploy pi --wait", 60, "  cargo xtask deploy pi --wait"),
            ("cargo xtask deploy pi --wait", 26, "  cargo xtask deploy pi \\\n  --wait"),
            (
                "cargo xtask --flake 'my own flake' boot",
                30,
                "  cargo xtask --flake \\\n  'my own flake' boot",
            ),
            (&format!("x boot --image {path}"), 40, &format!("  x boot --image \\\n  {path}")),
        ] {
            assert_eq!(command_lines(command, width), expected);
        }
    }

    #[test]
    fn a_folded_command_has_the_words_of_the_command() {
        crate::base::fuzz::check_text(&["a 'b c' d", "日本 x", "' '"], |text| {
            for width in [0, 5, 40] {
                let folded = command_lines(text, width);
                let dense = |text: &str| text.replace(" \\\n", " ").split_whitespace().collect::<String>();
                assert_eq!(dense(&folded), dense(text));
            }
        });
    }
}
