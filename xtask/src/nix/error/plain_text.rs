//! The text of errors without passwords and colours.

/// `text` without the passwords and tokens in its addresses. A web address loses all text before `@`, which may be a
/// token; any other address keeps the user, and loses the text after the `:`.
pub fn without_passwords(text: &str) -> String {
    let ends_authority = |c: char| c.is_whitespace() || "/?#'\"`<>".contains(c);
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme_end) = rest.find("://") {
        let (scheme, address) = rest.split_at(scheme_end + "://".len());
        plain.push_str(scheme);
        let authority = address.split(ends_authority).next().unwrap_or_default();
        let login = authority.rsplit_once('@').map_or("", |(login, _)| login);
        let is_web = scheme.ends_with("http://") || scheme.ends_with("https://");
        let shown = if is_web { "" } else { login.split(':').next().unwrap_or_default() };
        plain.push_str(shown);
        if shown.len() < login.len() {
            plain.push('…');
        }
        rest = &address[login.len()..];
    }
    plain.push_str(rest);
    plain
}

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
