//! What a terminal shows after a program has printed to it. It knows what this tool and indicatif print: text, colours,
//! and the movements that redraw a line.

use unicode_width::UnicodeWidthChar;

/// The look of a character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub is_bold: bool,
    pub is_dim: bool,
    /// The number of the colour, from 30 to 37; `None` for that of the terminal.
    pub colour: Option<u8>,
}

/// Characters of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub look: Look,
}

/// A cell of a row: a character with what is drawn above it; empty behind a wide character.
#[derive(Clone, Debug, Default)]
struct Cell {
    text: String,
    look: Look,
}

/// A terminal of a fixed width that keeps all its rows.
#[derive(Debug)]
pub struct Screen {
    width: usize,
    rows: Vec<Vec<Cell>>,
    row: usize,
    column: usize,
    look: Look,
    /// The bytes of a sequence or a character that has not ended.
    pending: Vec<u8>,
    /// The rows that were too long for the terminal, which has wrapped them.
    wrapped: Vec<usize>,
}

impl Screen {
    /// An empty terminal of `width` columns.
    pub fn new(width: usize) -> Self {
        let rows = vec![Vec::new()];
        Self {
            width,
            rows,
            row: 0,
            column: 0,
            look: Look::default(),
            pending: Vec::new(),
            wrapped: Vec::new(),
        }
    }

    /// Draws `bytes`.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend(bytes);
        let pending = std::mem::take(&mut self.pending);
        // A character that has not ended waits for its other bytes.
        let end = match std::str::from_utf8(&pending) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => pending.len(),
        };
        let text = String::from_utf8_lossy(&pending[..end]).into_owned();
        let rest = self.draw(&text);
        self.pending = [rest.as_bytes(), &pending[end..]].concat();
    }

    /// Makes the terminal `width` columns wide. Like most terminals, it wraps each longer row into several; the cursor
    /// stays behind its character.
    pub fn resize(&mut self, width: usize) {
        self.width = width;
        let rows = std::mem::take(&mut self.rows);
        let cursor = (self.row, self.column);
        for (number, row) in rows.into_iter().enumerate() {
            if number == cursor.0 {
                self.row = self.rows.len() + cursor.1.saturating_sub(1) / width;
                self.column = cursor.1 - (self.row - self.rows.len()) * width;
            }
            let pieces = row.chunks(width).map(<[Cell]>::to_vec).collect::<Vec<_>>();
            self.rows.extend(if pieces.is_empty() { vec![Vec::new()] } else { pieces });
        }
        self.go_to(self.row);
    }

    /// Draws `text`, and returns the beginning of a sequence that has not ended.
    fn draw<'a>(&mut self, text: &'a str) -> &'a str {
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            if char == '\u{1b}' {
                let Some((sequence, after)) = split_sequence(rest) else { return rest };
                self.obey(sequence);
                rest = after;
            } else {
                self.put(char);
                rest = &rest[char.len_utf8()..];
            }
        }
        ""
    }

    fn put(&mut self, char: char) {
        match char {
            '\n' => self.go_to(self.row + 1),
            '\r' => self.column = 0,
            '\u{8}' => self.column = self.column.saturating_sub(1),
            char if char.is_control() => {}
            char => self.put_visible(char),
        }
    }

    fn put_visible(&mut self, char: char) {
        let width = char.width().unwrap_or_default();
        if width == 0 {
            let column = self.column.saturating_sub(1);
            if let Some(cell) = self.rows[self.row].get_mut(column) {
                cell.text.push(char);
            }
            return;
        }
        if self.column + width > self.width {
            self.wrapped.push(self.row);
            self.go_to(self.row + 1);
            self.column = 0;
        }
        let row = &mut self.rows[self.row];
        row.resize_with(row.len().max(self.column + width), || Cell {
            text: " ".into(),
            look: Look::default(),
        });
        row[self.column] = Cell { text: char.into(), look: self.look };
        for behind in &mut row[self.column + 1..self.column + width] {
            *behind = Cell::default();
        }
        self.column += width;
    }

    fn go_to(&mut self, row: usize) {
        self.row = row;
        self.rows.resize_with(self.rows.len().max(row + 1), Vec::new);
    }

    /// Obeys a control sequence: its parameters and its last letter.
    fn obey(&mut self, sequence: &str) {
        let (parameters, letter) = sequence.split_at(sequence.len().saturating_sub(1));
        let number = parameters.parse::<usize>().unwrap_or(0);
        match letter {
            "m" => parameters.split(';').for_each(|code| self.set_look(code)),
            "A" => self.row = self.row.saturating_sub(number.max(1)),
            "B" => self.go_to(self.row + number.max(1)),
            "G" => self.column = number.saturating_sub(1),
            "K" if number == 2 => self.rows[self.row].clear(),
            "K" => self.rows[self.row].truncate(self.column),
            "J" => {
                self.rows[self.row].truncate(self.column);
                self.rows.truncate(self.row + 1);
            }
            _ => {}
        }
    }

    fn set_look(&mut self, code: &str) {
        match code.parse().unwrap_or(0) {
            0 => self.look = Look::default(),
            1 => self.look.is_bold = true,
            2 => self.look.is_dim = true,
            colour @ 30..=37 => self.look.colour = Some(colour),
            39 => self.look.colour = None,
            _ => {}
        }
    }

    /// The lines of the terminal, without blanks at their ends and without empty lines at the end.
    pub fn lines(&self) -> Vec<Vec<Span>> {
        let mut lines = self.rows.iter().map(|row| spans(row)).collect::<Vec<_>>();
        while lines.last().is_some_and(Vec::is_empty) {
            lines.pop();
        }
        lines
    }

    /// The text of the lines.
    pub fn text(&self) -> String {
        let text = |line: &Vec<Span>| line.iter().map(|span| span.text.as_str()).collect::<String>();
        self.lines().iter().map(text).collect::<Vec<_>>().join("\n")
    }

    /// The rows that were longer than the terminal is wide: the terminal has wrapped them.
    pub fn wrapped_rows(&self) -> Vec<String> {
        let text = |row: &usize| self.rows.get(*row).map_or_else(String::new, |row| row_text(row));
        self.wrapped.iter().map(text).collect()
    }
}

fn row_text(row: &[Cell]) -> String {
    row.iter().map(|cell| cell.text.as_str()).collect()
}

/// The spans of a row, without blanks at its end.
fn spans(row: &[Cell]) -> Vec<Span> {
    let end = row.iter().rposition(|cell| !cell.text.trim().is_empty()).map_or(0, |last| last + 1);
    let mut spans = Vec::<Span>::new();
    for cell in &row[..end] {
        match spans.last_mut().filter(|span| span.look == cell.look || cell.text.is_empty()) {
            Some(span) => span.text += &cell.text,
            None => spans.push(Span { text: cell.text.clone(), look: cell.look }),
        }
    }
    spans
}

/// Splits `text`, which begins with ESC, behind its control sequence. Returns the parameters and the last letter of the
/// sequence, and the rest; `None` where the sequence has not ended. Another sequence is empty.
fn split_sequence(text: &str) -> Option<(&str, &str)> {
    let behind = &text[1..];
    let Some(body) = behind.strip_prefix('[') else {
        return behind.chars().next().map(|char| ("", &behind[char.len_utf8()..]));
    };
    let end = body.find(|char: char| ('@'..='~').contains(&char))?;
    Some((&body[..=end], &body[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: usize, text: &str) -> (String, Vec<String>) {
        let mut screen = Screen::new(width);
        // In pieces, as a terminal gets it.
        for byte in text.as_bytes() {
            screen.feed(&[*byte]);
        }
        (screen.text(), screen.wrapped_rows())
    }

    #[test]
    fn a_terminal_draws_redraws_and_wraps() {
        for (width, text, expected, wrapped) in [
            (9, "a\r\nbc\r\n", "a\nbc", &[][..]),
            (9, "12345\r\u{1b}[2Kab\r\n", "ab", &[]),
            (9, "12345\rab\u{1b}[K\r\n", "ab", &[]),
            (9, "a\r\nb\u{1b}[A\r\u{1b}[2Kc", "c\nb", &[]),
            (9, "a\r\nb\r\nc\u{1b}[2A\r\u{1b}[Jd", "d", &[]),
            (3, "abc\r\n", "abc", &[]),
            (3, "abcd", "abc\nd", &["abc"]),
            (4, "日本x", "日本\nx", &["日本"]),
            (9, "u\u{308}b\u{1b}7c \u{8}d", "u\u{308}bcd", &[]),
        ] {
            let wrapped = wrapped.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
            assert_eq!(shown(width, text), (expected.to_owned(), wrapped), "{text:?}");
        }
    }

    #[test]
    fn a_narrower_terminal_wraps_what_it_shows() {
        let mut screen = Screen::new(9);
        screen.feed(b"123456789\r\n\r\nabcdef");
        screen.resize(4);
        assert_eq!(screen.text(), "1234\n5678\n9\n\nabcd\nef");
        screen.feed(b"\r\x1b[2K\x1b[A\x1b[2Kx");
        assert_eq!((screen.text().as_str(), screen.wrapped_rows().len()), ("1234\n5678\n9\n\nx", 0));
    }

    #[test]
    fn looks_are_kept_with_their_text() {
        let mut screen = Screen::new(20);
        screen.feed(b"\x1b[1m\x1b[31merror:\x1b[0m no \x1b[2mx\x1b[0m ");
        let look = |is_bold, is_dim, colour| Look { is_bold, is_dim, colour };
        let span = |text: &str, look| Span { text: text.into(), look };
        let expected = [
            span("error:", look(true, false, Some(31))),
            span(" no ", Look::default()),
            span("x", look(false, true, None)),
        ];
        assert_eq!(screen.lines(), [expected.to_vec()]);
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["\u{1b}[2A\u{1b}[9J", "\u{1b}[99G日", "\r\n\u{8}"], |text| {
            let mut screen = Screen::new(7);
            screen.feed(text.as_bytes());
            assert!(screen.lines().len() <= text.len() + 1 + text.matches('B').count() * 9999);
        });
    }
}
