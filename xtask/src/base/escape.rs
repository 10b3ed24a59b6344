//! Escaping of foreign text, which then cannot move the cursor, change the writing direction, hide a character, or
//! begin a line that looks like a line of this tool. `ui` escapes every text that it prints by this module alone.

use std::fmt::{self, Display, Write};

/// Displays its value on one line, with invisible characters as `\u{202e}`. It is for foreign
/// values in a text of several lines, such as a plan; `ui` escapes a text of one line when it prints the text.
pub struct Plain<T>(pub T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(EscapingWriter(f), "{}", self.0)
    }
}

/// Escapes what is written to the formatter.
struct EscapingWriter<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for EscapingWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_invisible(*c)) {
            write!(self.0, "{}{}", &rest[..at], c.escape_unicode())?;
            rest = &rest[at + c.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// `text` on one line, escaped.
pub fn line(text: &str) -> String {
    Plain(text).to_string()
}

/// `text` escaped, except for its line ends; those at the end of `text` are left out. All lines but the first are
/// indented, if they are not already: only the tool itself begins a line at the left edge.
pub fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (index, part) in text.trim_end_matches('\n').split('\n').enumerate() {
        if index > 0 {
            shown.push('\n');
            if !part.is_empty() && !part.starts_with("  ") {
                shown.push_str("  ");
            }
        }
        shown.push_str(&line(part));
    }
    shown
}

/// `text`, a line of the output of a child process, escaped, without its colours, and with four spaces for each tab.
pub fn log(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.trim_end_matches(['\r', '\n']);
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        // A colour is `ESC [ PARAMETERS m`.
        let after_parameters = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        if let Some(after_colour) = after_parameters.strip_prefix('m') {
            rest = after_colour;
        } else {
            plain.push_str("\u{1b}[");
            rest = after;
        }
    }
    plain.push_str(rest);
    line(&plain.replace('\t', "    "))
}

/// Serialized JSON with invisible characters in its strings as `\u202e`; the values stay the same.
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a terminal does anything else with `c` than draw it at its position: control characters, marks of the
/// writing direction, and characters without width or shape, by which two different names look the same.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
            // Private use: each terminal draws them differently.
            | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_escaped() {
        for (text, shown) in [
            ("etc/wpa \"é\" 日", "etc/wpa \"é\" 日"),
            ("a\nb\u{1b}[2J", "a\\u{a}b\\u{1b}[2J"),
            ("key\u{202e}gpj\u{2066}.\u{2069}", "key\\u{202e}gpj\\u{2066}.\\u{2069}"),
            ("\u{9b}31m\u{7f}\u{200d}\u{2028}", "\\u{9b}31m\\u{7f}\\u{200d}\\u{2028}"),
            ("s\u{e0041}\u{fe0f}\u{feff}\u{ad}\u{e000}", "s\\u{e0041}\\u{fe0f}\\u{feff}\\u{ad}\\u{e000}"),
        ] {
            assert_eq!(Plain(text).to_string(), shown);
        }
    }

    #[test]
    fn only_the_first_line_begins_at_the_edge() {
        for (later, shown) in
            [("error: b", "  error: b"), (" b", "   b"), ("  - b", "  - b"), ("", ""), ("b\r", "  b\\u{d}")]
        {
            assert_eq!(lines(&format!("a\n{later}\nc\n")), format!("a\n{shown}\n  c"));
        }
    }

    #[test]
    fn a_log_loses_its_colours_and_tabs() {
        for (text, shown) in [
            ("\u{1b}[31;1merror:\u{1b}[0m a\r", "error: a"),
            ("a\tb", "a    b"),
            // Other sequences than colours are escaped.
            ("a\u{1b}[2J", "a\\u{1b}[2J"),
            ("a\u{1b}[1", "a\\u{1b}[1"),
        ] {
            assert_eq!(log(text), shown);
        }
    }

    #[test]
    fn json_keeps_its_values() {
        let value = serde_json::json!({ "a\u{9b}": "\u{202e}\u{e0041}\u{1b}\n\u{7f}é\"\\" });
        let text = json(&value.to_string());
        assert_eq!(text, r#"{"a\u009b":"\u202e\udb40\udc41\u001b\n\u007fé\"\\"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
