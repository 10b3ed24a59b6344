//! The messages of progress lines.

use super::charset::Charset;
use super::{layout, shorten};
use crate::base::escape;

/// The columns that stay free at the end of a line: behind a full line, the `^C` that a terminal prints would begin
/// another one, and the progress would not be removed whole.
const FREE_COLUMNS: usize = 4;

/// `text` escaped, for a progress line in which other parts take up `columns`.
pub fn fit(text: &str, columns: usize) -> String {
    let width = layout::width().saturating_sub(columns + FREE_COLUMNS);
    shorten::end(&escape::log(text), width, Charset::of_locale().ellipsis())
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;

    #[test]
    fn a_message_leaves_room_at_the_end_of_its_line() {
        let width = layout::width();
        for text in ["x".repeat(500), "日本".repeat(500), "\u{1b}[2J".repeat(100)] {
            let shown = fit(&text, 20);
            assert!(shown.width() + 20 + FREE_COLUMNS <= width, "{shown}");
        }
        assert_eq!(fit("short", 20), "short");
    }
}
