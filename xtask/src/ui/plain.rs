//! Names that others gave, as they can be shown: nothing in them moves the cursor or turns the direction of a line.

use std::fmt::{self, Display, Write};

/// Shows what it holds with its invisible characters as `\u{202e}`.
pub struct Plain<T>(pub T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| {
            if is_invisible(c) { write!(self.0, "{}", c.escape_unicode()) } else { self.0.write_char(c) }
        })
    }
}

/// Whether `c` is a control character, or one that has the text around it written in another direction.
fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown() {
        for (text, shown) in [
            ("etc/wpa \"é\" 日", "etc/wpa \"é\" 日"),
            ("a\nb\u{1b}[2J", "a\\u{a}b\\u{1b}[2J"),
            ("key\u{202e}gpj\u{2066}.\u{2069}", "key\\u{202e}gpj\\u{2066}.\\u{2069}"),
        ] {
            assert_eq!(Plain(text).to_string(), shown);
        }
    }
}
