//! A table on its stream. On a terminal each row is one line: columns are cut, and the least important are left out.

use unicode_width::UnicodeWidthStr;

use super::charset::Charset;
use super::shorten;
use super::style::{Role, Stream};
use crate::base::{Cell, Table};

/// The blanks between two columns.
const GAP: usize = 2;
/// The least width of a column that is cut while columns can be left out.
const ROOMY_WIDTH: usize = 20;
/// The least width of a column that is cut, if possible.
const MIN_WIDTH: usize = 8;

/// The lines of `table` for `stream`. In a pipe or a file each cell is whole.
pub fn lines(table: &Table, stream: Stream) -> String {
    let charset = Charset::of_locale();
    Layout::new(table, stream.is_terminal(), charset)
        .lines(stream.width(), |role, text| stream.paint(role, text))
}

/// A table that is fitted to a terminal.
struct Layout {
    /// The columns with their cells, the heading first.
    columns: Vec<Vec<Cell>>,
    /// The headings of the columns that may be left out, the least important last.
    optional: Vec<&'static str>,
    /// The heading of the column that is folded, not cut.
    folded: Option<&'static str>,
    ellipsis: &'static str,
}

impl Layout {
    fn new(table: &Table, has_symbols: bool, charset: Charset) -> Self {
        let count = table.rows().iter().map(Vec::len).max().unwrap_or_default();
        let cell = |row: &Vec<Cell>, column: usize| {
            let Some(Cell { text, tone }) = row.get(column).cloned() else { return Cell::default() };
            let symbol = Role::of(tone).and_then(|role| role.symbol(charset)).filter(|_| has_symbols);
            let symbol = symbol.map(|symbol| format!("{symbol} ")).unwrap_or_default();
            Cell { text: symbol + &super::for_people(text), tone }
        };
        let columns = (0..count).map(|column| table.rows().iter().map(|row| cell(row, column)).collect());
        let optional = table.optional().iter().rev().copied().collect();
        Self { columns: columns.collect(), optional, folded: table.folded(), ellipsis: charset.ellipsis() }
    }

    /// The lines for a terminal of `width` columns, or of any width without one. `paint` paints a text in a role.
    fn lines(mut self, width: Option<usize>, paint: impl Fn(Role, &str) -> String) -> String {
        let left_out = width.map(|width| self.fit(width)).unwrap_or_default();
        let widths = self.widths();
        let rows = (0..self.columns.first().map_or(0, Vec::len)).flat_map(|row| {
            let cells = self.columns.iter().map(|column| &column[row]).collect::<Vec<_>>();
            let is_heading = row == 0 && width.is_some();
            row_lines(&cells, &widths, |cell, text| {
                let role = if is_heading { Some(Role::Label) } else { Role::of(cell.tone) };
                role.map_or_else(|| text.to_owned(), |role| paint(role, text))
            })
        });
        let mut lines = rows.collect::<Vec<_>>();
        if let Some(width) = width.filter(|_| !left_out.is_empty()) {
            let note = format!("not shown: {}; see --json", left_out.join(", "));
            lines.push(paint(Role::Dim, &shorten::end(&note, width, self.ellipsis)));
        }
        lines.join("\n")
    }

    /// Fits the columns to a terminal of `width` columns. Returns the headings of those that were left out.
    fn fit(&mut self, width: usize) -> Vec<&'static str> {
        if row_width(&self.widths()) > width {
            self.shorten_store_paths();
        }
        let mut left_out = Vec::new();
        let mut narrowed = self.narrowed(width, ROOMY_WIDTH);
        while row_width(&narrowed) > width {
            let Some(heading) = self.optional.pop() else { break };
            self.columns.retain(|column| column.first().is_none_or(|cell| cell.text != heading));
            left_out.push(heading);
            narrowed = self.narrowed(width, ROOMY_WIDTH);
        }
        for min_width in [MIN_WIDTH, 1] {
            if row_width(&narrowed) > width {
                narrowed = self.narrowed(width, min_width);
            }
        }
        for (column, width) in self.columns.iter_mut().zip(narrowed) {
            let is_folded = column.first().is_some_and(|cell| Some(cell.text.as_str()) == self.folded);
            for cell in column {
                if is_folded { fold(cell, width) } else { cut(cell, width, self.ellipsis) }
            }
        }
        left_out
    }

    fn shorten_store_paths(&mut self) {
        for cell in self.columns.iter_mut().flatten() {
            cell.text = shorten::store_paths(&cell.text, self.ellipsis);
        }
    }

    fn widths(&self) -> Vec<usize> {
        let widest = |column: &Vec<Cell>| {
            column.iter().flat_map(|cell| cell.text.split('\n')).map(UnicodeWidthStr::width).max()
        };
        self.columns.iter().map(|column| widest(column).unwrap_or_default()).collect()
    }

    /// The widths of the columns, of which the widest are narrowed, but not below `min_width`, until a row fits into
    /// `width` columns.
    fn narrowed(&self, width: usize, min_width: usize) -> Vec<usize> {
        let mut widths = self.widths();
        while row_width(&widths) > width {
            match widths.iter_mut().max().filter(|widest| **widest > min_width) {
                Some(widest) => *widest -= 1,
                None => break,
            }
        }
        widths
    }
}

/// Cuts the text of `cell` to `width` columns: a path within, other text at its end.
fn cut(cell: &mut Cell, width: usize, ellipsis: &str) {
    let is_path = cell.text.starts_with('/') && !cell.text.contains(' ');
    let cut = if is_path { shorten::middle } else { shorten::end };
    cell.text = cut(&cell.text, width, ellipsis);
}

/// The width of a row whose cells have these widths.
fn row_width(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Folds the text of `cell` at blanks into lines of at most `width` columns; a wider word is broken.
fn fold(cell: &mut Cell, width: usize) {
    let mut lines = vec![String::new()];
    for word in cell.text.split(' ') {
        let column = lines.last().map_or(0, |line| line.width());
        match lines.last_mut() {
            Some(line) if column + usize::from(column > 0) + word.width() <= width => {
                line.push_str(if column > 0 { " " } else { "" });
                line.push_str(word);
            }
            _ => lines.extend(shorten::pieces(word, width)),
        }
    }
    lines.retain(|line| !line.is_empty());
    cell.text = lines.join("\n");
}

/// The lines of a row with these cells, each in a column of its width in `widths`. `painted` returns a line of a cell
/// with its colour.
fn row_lines(cells: &[&Cell], widths: &[usize], painted: impl Fn(&Cell, &str) -> String) -> Vec<String> {
    let lines = cells.iter().map(|cell| cell.text.split('\n').collect::<Vec<_>>()).collect::<Vec<_>>();
    let count = lines.iter().map(Vec::len).max().unwrap_or_default();
    let line = |number: usize| {
        let mut line = String::new();
        let mut gap = 0;
        for ((cell, lines), width) in cells.iter().zip(&lines).zip(widths) {
            let text = lines.get(number).copied().unwrap_or_default();
            if !text.is_empty() {
                line.extend(std::iter::repeat_n(' ', gap));
                line.push_str(&painted(cell, text));
                gap = 0;
            }
            gap += width.saturating_sub(text.width()) + GAP;
        }
        line
    };
    (0..count).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tone;

    fn fitted(table: &Table, width: usize) -> String {
        Layout::new(table, false, Charset::Unicode).lines(Some(width), |_, text| text.to_owned())
    }

    #[test]
    fn a_table_that_fits_into_the_terminal_is_whole() {
        let mut table = Table::new(&["HOST", "IMAGE"]).with_optional(&["IMAGE"]);
        table.row(["stinky", " two  blanks"]);
        for width in [20, 21, 400] {
            assert_eq!(fitted(&table, width), table.to_string());
        }
        assert_eq!(fitted(&Table::new(&[]), 80), Table::new(&[]).to_string());
    }

    #[test]
    fn the_least_important_columns_are_left_out_and_the_widest_are_cut() {
        let mut table = Table::new(&["HOST", "IMAGE", "KIND", "RUNS"]).with_optional(&["KIND", "IMAGE"]);
        let path = "/nix/store/bx096z1d0123456789abcdfghijklmnp-nixos-system-pi";
        table.row(["pi", "none: nix failed on it", "USB", path]);
        table.row(["b", "yes", "SD card", "-"]);
        for (width, lines) in [
            (
                80,
                &[
                    "HOST  IMAGE                   KIND     RUNS",
                    "pi    none: nix failed on it  USB      /nix/store/bx096z1d…-nixos-system-pi",
                    "b     yes                     SD card  -",
                ][..],
            ),
            (
                60,
                &[
                    "HOST  IMAGE                   KIND     RUNS",
                    "pi    none: nix failed on it  USB      /nix/store…-system-pi",
                    "b     yes                     SD card  -",
                ],
            ),
            (
                50,
                &[
                    "HOST  IMAGE                 RUNS",
                    "pi    none: nix failed on…  /nix/store…-system-pi",
                    "b     yes                   -",
                    "not shown: KIND; see --json",
                ],
            ),
            (
                45,
                &[
                    "HOST  RUNS",
                    "pi    /nix/store/bx096z1d…-nixos-system-pi",
                    "b     -",
                    "not shown: KIND, IMAGE; see --json",
                ],
            ),
            (24, &["HOST  RUNS", "pi    /nix/sto…system-pi", "b     -", "not shown: KIND, IMAGE;…"]),
        ] {
            assert_eq!(fitted(&table, width), lines.join("\n"), "{width}");
        }
    }

    #[test]
    fn reasons_are_folded_within_their_column() {
        let mut table = Table::new(&["HOST", "WHY", "DEPLOY"]).with_folded("WHY");
        table.row(["pi", "none: nix failed on nixosConfigurations.pi", "-"]);
        table.row(["b", "aarch64-linux", "yes"]);
        let folded = [
            "HOST  WHY               DEPLOY",
            "pi    none: nix failed  -",
            "      on",
            "      nixosConfigurati",
            "      ons.pi",
            "b     aarch64-linux     yes",
        ];
        assert_eq!(fitted(&table, 30), folded.join("\n"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut table = Table::new(&["A", "B", "C"]).with_optional(&["B"]).with_folded("A");
        for cell in ["日本".repeat(40), "x y ".repeat(50), " \u{308}".repeat(30), "x".repeat(70_000)] {
            table.row([cell.as_str(), "y", "yyyyyyyyy"]);
        }
        for width in [8, 15, 40, 80, 81] {
            let text = fitted(&table, width);
            assert!(text.lines().all(|line| line.width() <= width), "{width}: {text}");
        }
    }

    #[test]
    fn tones_have_symbols_on_a_terminal_and_colours_keep_the_columns() {
        let mut table = Table::new(&["HOST", "VERDICT", ""]);
        let row = |host: &str, verdict, tone| [host.into(), Cell::new(verdict, tone), "x".into()];
        table.row(row("pi", "current", Tone::Good));
        table.row(row("b", "-", Tone::Plain));
        let shown =
            Layout::new(&table, true, Charset::Ascii).lines(None, |role, text| format!("<{role:?}:{text}>"));
        assert_eq!(shown, "HOST  VERDICT\npi    <Good:+ current>  x\nb     -          x");
        assert!(!lines(&table, Stream::Stdout).contains('<'));
    }
}
