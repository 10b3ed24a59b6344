//! Tables for people. A column is as wide as its widest cell; `ui` fits a table to a terminal.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::escape;

/// The maximum width of a cell, in columns; a longer text is cut and ends in an ellipsis. `--json` has the whole text.
const MAX_WIDTH: usize = 400;

/// The blanks between two columns.
const GAP: usize = 2;

/// What a fact means to the user. `ui` decides how that looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// A failure, or a refusal.
    Bad,
    /// Something to act on.
    Attention,
    /// Of little interest.
    Minor,
}

/// A cell of a [`Table`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The text, escaped, on one line.
    pub text: String,
    pub tone: Tone,
}

impl Cell {
    /// A cell whose text has a `tone`.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: fit(&text.into()), tone }
    }
}

impl<S: Into<String>> From<S> for Cell {
    fn from(text: S) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A table with a heading, rendered by `Display` in plain text. Each row is one line, whatever its cells hold.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
    /// The headings of the columns that a narrow terminal does without, the least important first.
    optional: Vec<&'static str>,
    /// The heading of the column whose cells take several lines on a narrow terminal: its texts are not to be cut.
    folded: Option<&'static str>,
}

impl Table {
    /// A table with the cells of its heading.
    pub fn new(heading: &[&str]) -> Self {
        let mut table = Self { rows: Vec::new(), optional: Vec::new(), folded: None };
        table.row(heading.iter().copied());
        table
    }

    /// The table whose columns with these headings may be left out on a narrow terminal, the least important first.
    #[must_use]
    pub fn with_optional(self, optional: &[&'static str]) -> Self {
        Self { optional: optional.to_vec(), ..self }
    }

    /// The table whose column with this heading has texts that are not to be cut, such as reasons: on a narrow terminal
    /// they take several lines within the column.
    #[must_use]
    pub fn with_folded(self, heading: &'static str) -> Self {
        Self { folded: Some(heading), ..self }
    }

    /// Appends a row.
    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The rows with their cells, the heading first.
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// The heading of the column whose texts are not to be cut.
    pub fn folded(&self) -> Option<&'static str> {
        self.folded
    }

    /// The headings of the columns that a narrow terminal does without, the least important first.
    pub fn optional(&self) -> &[&'static str] {
        &self.optional
    }

    /// The width of each column.
    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        widths
    }
}

/// The line of these cells, each in a column of its width in `widths`.
fn one_line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + GAP));
    }
    line.trim_end_matches(' ').to_owned()
}

/// `cell` on one line of at most [`MAX_WIDTH`] columns.
fn fit(cell: &str) -> String {
    // More characters than columns are cut, even where combining characters have no width: this limits the work.
    let end = cell.char_indices().nth(MAX_WIDTH + 1).map_or(cell.len(), |(at, _)| at);
    let shown = escape::line(&cell[..end]);
    if end == cell.len() && shown.width() <= MAX_WIDTH {
        return shown;
    }
    let mut columns = 0;
    let fits = |c: &char| {
        columns += c.width().unwrap_or_default();
        columns < MAX_WIDTH
    };
    shown.chars().take_while(fits).chain(['…']).collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            let line = one_line(row.iter().map(|cell| cell.text.as_str()), &widths);
            let end = if number + 1 < self.rows.len() { "\n" } else { "" };
            write!(f, "{line}{end}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::fuzz::cpu_time;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["HOST", "IMAGE"]);
        table.row(["stinky", "yes"]);
        table.row(["日本", "no"]);
        table.row(["u\u{308}ber", "-"]);
        assert_eq!(table.to_string(), "HOST    IMAGE\nstinky  yes\n日本    no\nu\u{308}ber    -");
    }

    #[test]
    fn a_row_is_one_line() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["x\nerror: y\u{1b}[2J", "z"]);
        let row = "x\\u{a}error: y\\u{1b}[2J";
        assert_eq!(table.to_string(), format!("A{:width$}B\n{row}  z", "", width = row.len() + 1));
    }

    #[test]
    fn only_a_cell_beyond_the_maximum_is_cut() {
        for cell in
            ["x".repeat(70_000), "日".repeat(70_000), "\u{1b}".repeat(70_000), "u\u{308}".repeat(70_000)]
        {
            let mut table = Table::new(&["LONG", "B"]);
            table.row([cell.as_str(), "y"]);
            let text = table.to_string();
            let row = text.lines().nth(1).unwrap();
            // Two spaces and `y` follow the cell.
            assert!(row.width() <= MAX_WIDTH + 3 && row.ends_with('y') && row.contains('…'), "{row}");
        }
        let mut table = Table::new(&[]);
        table.row(["x".repeat(MAX_WIDTH)]);
        assert_eq!(table.to_string(), format!("\n{}", "x".repeat(MAX_WIDTH)));
    }

    #[test]
    fn many_rows_take_little_time() {
        let begin = cpu_time();
        let mut table = Table::new(&["WHEN", "WHAT", "CONTENT"]);
        for number in 0..10_000 {
            table.row([number.to_string(), "deploy".into(), "/nix/store/x".repeat(8)]);
        }
        assert_eq!(table.to_string().lines().count(), 10_001);
        let used = cpu_time().saturating_sub(begin);
        assert!(used < Duration::from_secs(5), "{used:?}");
    }
}
