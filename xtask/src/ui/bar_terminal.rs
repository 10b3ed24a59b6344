//! The terminal that bars are drawn on. It may become narrower between two drawings: then it wraps each row of the bars
//! into several, which the next drawing erases too.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// What is drawn, and what is being drawn: indicatif moves the cursor to the first row, clears all rows, and writes
/// each row as a text and the blanks that fill it.
#[derive(Debug, Default)]
struct Drawing {
    /// The columns of each row on the terminal, and the width for which they were drawn.
    drawn: Vec<usize>,
    drawn_width: usize,
    /// The characters of the next drawing, which were not written yet, and the columns of its rows.
    pending: String,
    rows: Vec<usize>,
    width: usize,
    /// Whether the text of the last row is there, but not the blanks behind it.
    is_row_open: bool,
}

impl Drawing {
    /// Adds a part of a row. The blanks that fill the row are left out: the cursor stays behind the text, so that the
    /// `^C` that a terminal prints begins no other row, and a narrower terminal has nothing to wrap.
    fn add(&mut self, part: &str) {
        self.is_row_open = !self.is_row_open;
        if !self.is_row_open {
            return;
        }
        let text = part.trim_end_matches(' ');
        if !self.rows.is_empty() {
            self.pending += "\r\n";
        }
        self.pending += text;
        self.rows.push(anstream::adapter::strip_str(text).to_string().width());
    }

    /// Ends the drawing, and returns it for a terminal that is `width` columns wide by now. It begins by erasing the
    /// rows that a narrower terminal has made of the last drawing.
    fn end(&mut self, width: usize) -> String {
        let additional = rows_at(&self.drawn, width).saturating_sub(rows_at(&self.drawn, self.drawn_width));
        let drawing = "\r\u{1b}[2K\u{1b}[A".repeat(additional) + &self.pending;
        let (drawn, drawn_width) = (std::mem::take(&mut self.rows), self.width);
        *self = Self { drawn, drawn_width, ..Self::default() };
        drawing
    }
}

/// How many rows of a terminal of `width` columns are taken by rows of these `columns`.
fn rows_at(columns: &[usize], width: usize) -> usize {
    columns.iter().map(|columns| columns.div_ceil(width.max(1)).max(1)).sum()
}

impl BarTerminal {
    fn drawing(&self) -> MutexGuard<'_, Drawing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds characters that are no part of a row.
    fn add_control(&self, text: &str) {
        self.drawing().pending += text;
    }

    /// Moves the cursor by `count` in the direction that `letter` names.
    fn go(&self, count: usize, letter: char) {
        if count > 0 {
            self.add_control(&format!("\u{1b}[{count}{letter}"));
        }
    }
}

impl TermLike for BarTerminal {
    fn width(&self) -> u16 {
        let width = layout::width();
        self.drawing().width = width;
        width.try_into().unwrap_or(u16::MAX)
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
        self.add_control(text);
        self.add_control("\r\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.drawing().add(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add_control("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let drawing = self.drawing().end(layout::width());
        let mut stderr = io::stderr();
        stderr.write_all(drawing.as_bytes()).and_then(|()| stderr.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws rows of these texts.
    fn draw(drawing: &mut Drawing, width: usize, texts: &[&str]) -> String {
        drawing.width = width;
        for text in texts {
            drawing.add(text);
            drawing.add(&" ".repeat(width - text.len().min(width)));
        }
        drawing.end(width)
    }

    #[test]
    fn rows_end_behind_their_text() {
        let mut drawing = Drawing::default();
        assert_eq!(
            draw(&mut drawing, 80, &["build   ", "", "\u{1b}[1ma\u{1b}[0m"]),
            "build\r\n\r\n\u{1b}[1ma\u{1b}[0m"
        );
        assert_eq!(drawing.drawn, [5, 0, 1]);
    }

    #[test]
    fn the_next_drawing_erases_the_rows_that_a_narrower_terminal_has_wrapped() {
        let erase = "\r\u{1b}[2K\u{1b}[A";
        for (width, narrower, text, count) in [
            (80, 60, 60, 0),
            (80, 60, 61, 1),
            (80, 20, 80, 3),
            (80, 120, 80, 0),
            (80, 0, 0, 0),
            (20, 10, 25, 1),
        ] {
            let mut drawing = Drawing::default();
            let text = "x".repeat(text);
            draw(&mut drawing, width, &[text.as_str(), text.as_str()]);
            let next = draw(&mut drawing, narrower, &[]);
            assert_eq!(next, erase.repeat(2 * count), "{width} {narrower} {}", text.len());
            assert_eq!(draw(&mut drawing, narrower, &[]), "", "the last drawing was empty");
        }
    }
}
