//! Tables for people. A column is as wide as its widest cell.

use std::fmt;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::escape;

/// The maximum width of a cell, in columns; a longer text is cut and ends in an ellipsis. `--json` has the whole text.
const MAX_WIDTH: usize = 400;

/// A table with a heading, rendered by `Display`. Each row is one line, whatever its cells hold.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with the cells of its heading.
    pub fn new(heading: &[&str]) -> Self {
        let mut table = Self { rows: Vec::new() };
        table.row(heading.iter().copied());
        table
    }

    /// Appends a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| fit(&cell.into())).collect());
    }

    /// The width of each column.
    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        widths
    }
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
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
            }
            let end = if number + 1 < self.rows.len() { "\n" } else { "" };
            write!(f, "{}{end}", line.trim_end_matches(' '))?;
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
