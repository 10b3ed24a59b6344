//! The text of errors without colours.

/// `text` without the ANSI escape sequences that colour it.
pub fn strip_ansi(text: &str) -> String {
    const ESCAPE: char = '\u{1b}';
    let mut plain = String::with_capacity(text.len());
    let mut is_in_sequence = false;
    for char in text.chars() {
        if is_in_sequence {
            // The first letter ends the sequence.
            is_in_sequence = !char.is_ascii_alphabetic();
        } else if char == ESCAPE {
            is_in_sequence = true;
        } else {
            plain.push(char);
        }
    }
    plain
}
