//! Removing the escape sequences of a terminal (ECMA-48) from the text of a console.

/// `text` without escape sequences and without other control characters than tabs.
pub fn without_escapes(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| plain.push_str(after_sequence(part)));
    plain.retain(|char| char == '\t' || !char.is_control());
    plain
}

/// The rest of `part` behind the sequence that it begins with, without its escape character.
fn after_sequence(part: &str) -> &str {
    if let Some(rest) = part.strip_prefix('[') {
        // A control sequence has parameters and intermediate characters, and one final character.
        let rest = rest.trim_start_matches(|c| (' '..='?').contains(&c));
        return rest.strip_prefix(|c| ('@'..='~').contains(&c)).unwrap_or(rest);
    }
    if let Some(rest) = part.strip_prefix(']') {
        // The command of an operating system, such as a title, ends with a bell or with the next sequence.
        return rest.split_once('\x07').map_or("", |(_, rest)| rest);
    }
    // Any other sequence has intermediate characters, as the choice of a character set, and one final character.
    let mut chars = part.trim_start_matches(|c| (' '..='/').contains(&c)).chars();
    chars.next();
    chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_removed() {
        for (text, expected) in [
            ("plain\tü", "plain\tü"),
            ("\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8Cannot persist", "Cannot persist"),
            ("~ # \x1b[6nreboot", "~ # reboot"),
            ("\x1b[?25h", ""),
            ("\x1b", ""),
            ("\x1bü", ""),
            ("\x1b(B\x1b[mdemo: up", "demo: up"),
            ("\x1b[200~demo\x1b[2@: up", "demo: up"),
            ("\x1b[1;ü", "ü"),
            ("\x1b[!p\x1b]104\x07\x1b[?7h[    2.7] systemd", "[    2.7] systemd"),
            ("Hit any key to stop autoboot:  2 \x08\x08\x08 1 ", "Hit any key to stop autoboot:  2  1 "),
        ] {
            assert_eq!(without_escapes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn fuzz() {
        let seeds = ["\x1b[0;1;39mWelcome\x1b[0m", "\x1b]0;title\x07x", "\x1b7\x1b[999;999H"];
        crate::base::fuzz::check_text(&seeds, |text| {
            assert!(!without_escapes(text).contains('\x1b'));
        });
    }
}
