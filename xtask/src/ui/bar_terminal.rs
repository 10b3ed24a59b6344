//! The terminal that bars are drawn on. It may become narrower between two drawings: then it wraps each row of the bars
//! into several, which the next drawing erases too.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressDrawTarget, TermLike};
use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

use super::layout;
use super::style::Stream;

/// How often bars are drawn at most, in a second.
const MAX_RATE: u8 = 20;
/// The rows of a terminal that does not report them.
const DEFAULT_HEIGHT: u16 = 24;

/// Where bars are drawn: on the terminal behind stderr, if there is one.
pub fn draw_target() -> ProgressDrawTarget {
    if Stream::Stderr.is_terminal() {
        ProgressDrawTarget::term_like_with_hz(Box::<BarTerminal>::default(), MAX_RATE)
    } else {
        ProgressDrawTarget::hidden()
    }
}

#[derive(Debug, Default)]
struct BarTerminal(Mutex<Drawing>);

/// What is drawn, or is being drawn: indicatif fills each row, and begins a drawing by a movement of the cursor.
#[derive(Debug, Default)]
struct Drawing {
    /// The characters for the terminal that were not written yet.
    pending: String,
    /// The columns of all rows together.
    columns: usize,
    /// The width of the terminal at that time.
    width: usize,
    has_ended: bool,
}

impl Drawing {
    /// Begins the next drawing on a terminal of `width` columns, unless it has begun. The cursor is at the end of the
    /// last drawing.
    fn begin(&mut self, width: usize) {
        if self.has_ended || self.width == 0 {
            for _ in 0..additional_rows(self.columns, self.width, width) {
                self.pending += "\r\u{1b}[2K\u{1b}[A";
            }
            *self = Self { pending: std::mem::take(&mut self.pending), width, ..Self::default() };
        }
    }
}

/// The rows that full rows of together `columns` columns take additionally on a terminal that is `after` columns wide
/// instead of `before`.
fn additional_rows(columns: usize, before: usize, after: usize) -> usize {
    let rows = columns.div_ceil(before.max(1));
    rows * before.div_ceil(after.max(1)).saturating_sub(1)
}

impl BarTerminal {
    fn push(&self, text: &str, columns: usize) {
        let mut drawing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drawing.begin(layout::width());
        // indicatif lets the terminal wrap each full row into the next; rows that end stay apart when it is resized.
        if columns > 0 && drawing.columns > 0 && drawing.columns.is_multiple_of(drawing.width) {
            drawing.pending += "\r\n";
        }
        drawing.pending += text;
        drawing.columns += columns;
    }

    /// Moves the cursor by `count` in the direction that `letter` names.
    fn go(&self, count: usize, letter: char) {
        let sequence = if count > 0 { format!("\u{1b}[{count}{letter}") } else { String::new() };
        self.push(&sequence, 0);
    }
}

impl TermLike for BarTerminal {
    fn width(&self) -> u16 {
        layout::width().try_into().unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        let size = tcgetwinsize(io::stderr());
        size.map(|size| size.ws_row).ok().filter(|rows| *rows > 0).unwrap_or(DEFAULT_HEIGHT)
    }

    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        self.go(count, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.go(count, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.go(count, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        self.go(count, 'D');
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.push(&format!("{text}\n"), 0);
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.push(text, anstream::adapter::strip_str(text).to_string().width());
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.push("\r\u{1b}[2K", 0);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut drawing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = std::mem::take(&mut drawing.pending);
        drawing.has_ended = true;
        let mut stderr = io::stderr();
        stderr.write_all(pending.as_bytes()).and_then(|()| stderr.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_narrower_terminal_are_more() {
        for (columns, before, after, rows) in [
            (80, 80, 60, 1),
            (160, 80, 60, 2),
            (80, 80, 20, 3),
            (80, 80, 120, 0),
            (0, 80, 60, 0),
            (80, 0, 60, 0),
        ] {
            assert_eq!(additional_rows(columns, before, after), rows, "{columns} {before} {after}");
        }
    }

    #[test]
    fn the_next_drawing_erases_the_rows_that_a_narrower_terminal_has_wrapped() {
        let mut drawing = Drawing { columns: 80, width: 80, has_ended: true, ..Drawing::default() };
        drawing.begin(60);
        assert_eq!((drawing.pending.as_str(), drawing.columns), ("\r\u{1b}[2K\u{1b}[A", 0));
        drawing.begin(20);
        assert_eq!(drawing.pending, "\r\u{1b}[2K\u{1b}[A", "the drawing has begun");
    }
}
