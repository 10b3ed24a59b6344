//! Tables for people. A column is as wide as its widest cell.

use std::fmt;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::escape;

/// The maximum width of a cell, in columns; a longer text is cut and ends in an ellipsis. `--json` has the whole text.
const MAX_WIDTH: usize = 400;

/// The minimum width of a column that is narrowed for a terminal, in columns: less leaves no room for words.
const MIN_WIDTH: usize = 12;

/// The blanks between two columns.
const GAP: usize = 2;

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

    /// The table for a terminal of `width` columns. Where a row does not fit into a line, the widest columns are
    /// narrowed, and their cells take several lines.
    pub fn fitted(&self, width: usize) -> String {
        let mut widths = self.widths();
        while row_width(&widths) > width {
            match widths.iter_mut().max().filter(|widest| **widest > MIN_WIDTH) {
                Some(widest) => *widest -= 1,
                None => break,
            }
        }
        let lines = self.rows.iter().flat_map(|row| row_lines(row, &widths));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The width of a row whose cells have these widths.
fn row_width(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// The lines of `row`, with each cell in a column of its width in `widths`.
fn row_lines(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells = row.iter().zip(widths).map(|(cell, width)| cell_lines(cell, *width)).collect::<Vec<_>>();
    let count = cells.iter().map(Vec::len).max().unwrap_or_default();
    let line = |number| {
        let parts = cells.iter().map(|lines: &Vec<String>| lines.get(number).map_or("", String::as_str));
        one_line(parts, widths)
    };
    (0..count).map(line).collect()
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

/// `cell` in lines of at most `width` columns, folded at blanks; a wider word is broken.
fn cell_lines(cell: &str, width: usize) -> Vec<String> {
    if cell.width() <= width {
        return vec![cell.to_owned()];
    }
    let mut full = Vec::new();
    let mut line = String::new();
    for word in cell.split(' ') {
        if !line.is_empty() && line.width() + 1 + word.width() <= width {
            line.push(' ');
        } else if !line.is_empty() {
            full.push(std::mem::take(&mut line));
        }
        let mut column = line.width();
        for char in word.chars() {
            column += char.width().unwrap_or_default();
            if column > width {
                full.push(std::mem::take(&mut line));
                column = char.width().unwrap_or_default();
            }
            line.push(char);
        }
    }
    full.push(line);
    full
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
            let line = one_line(row.iter().map(String::as_str), &widths);
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
    fn a_table_that_fits_into_the_terminal_is_not_folded() {
        let mut table = Table::new(&["HOST", "IMAGE"]);
        table.row(["stinky", " two  blanks"]);
        for width in [20, 21, 400] {
            assert_eq!(table.fitted(width), table.to_string());
        }
        assert_eq!(Table::new(&[]).fitted(80), Table::new(&[]).to_string());
    }

    #[test]
    fn the_widest_column_is_folded_at_blanks_or_within_a_word() {
        let mut table = Table::new(&["HOST", "IMAGE", "DEPLOY"]);
        table.row(["pi", "none: nix failed on nixosConfigurations.pi", "-"]);
        table.row(["b", "aarch64-linux", "yes"]);
        let folded = [
            "HOST  IMAGE             DEPLOY",
            "pi    none: nix failed  -",
            "      on",
            "      nixosConfigurati",
            "      ons.pi",
            "b     aarch64-linux     yes",
        ];
        assert_eq!(table.fitted(30), folded.join("\n"));
    }

    #[test]
    fn no_folded_line_is_wider_than_the_terminal_and_no_character_is_lost() {
        let mut table = Table::new(&["A", "B"]);
        for cell in ["日本".repeat(40), "x y ".repeat(50), " \u{308}".repeat(30), "x".repeat(70_000)] {
            table.row([cell.as_str(), "y"]);
        }
        let chars = |text: &str| text.chars().filter(|char| !char.is_whitespace()).count();
        for width in [15, 40, 80, 81] {
            let text = table.fitted(width);
            assert!(text.lines().all(|line| line.width() <= width), "{width}: {text}");
            assert_eq!(chars(&text), chars(&table.to_string()));
        }
        // A narrower terminal breaks the lines itself.
        assert_eq!(table.fitted(1), table.fitted(15));
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
