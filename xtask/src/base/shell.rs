//! Quoting for shells, and reading what is quoted for them.

/// `word` as one word of a command line of a POSIX shell or fish; quoted only where it has to be.
pub fn quote(word: &str) -> String {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `words` as one command line.
pub fn quote_all(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// `text` as a POSIX shell reads a word: without `'…'` and `"…"` around its parts, and without the backslashes that
/// escape a character. Unlike a shell, it keeps a quote that is never closed and a backslash at the end, and separates
/// no words at blanks.
pub fn unquote(text: &str) -> String {
    let mut word = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\'', '"']) {
        let (plain, marked) = rest.split_at(at);
        let (mark, after_mark) = marked.split_at(1);
        let part = match mark {
            "'" => after_mark.split_once('\'').map(|(quoted, after)| (quoted.to_owned(), after)),
            "\"" => split_double_quoted(after_mark),
            _ => after_mark.chars().next().map(|first| (first.to_string(), &after_mark[first.len_utf8()..])),
        };
        let (part, after_part) = part.unwrap_or_else(|| (mark.to_owned(), after_mark));
        word += plain;
        word += &part;
        rest = after_part;
    }
    word + rest
}

/// The words of `line` as a POSIX shell separates them, each without its quotes. The last is the word that ends where
/// the line does: it is empty behind a blank, and its quote may be open.
pub fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut is_escaped = false;
    for char in line.chars() {
        let is_separator = char.is_ascii_whitespace() && quote.is_none() && !is_escaped;
        let was_escaped = std::mem::take(&mut is_escaped);
        match (quote, char) {
            _ if was_escaped => {}
            (None | Some('"'), '\\') => is_escaped = true,
            (None, '\'' | '"') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            _ => {}
        }
        match words.last_mut() {
            Some(word) if !is_separator => word.push(char),
            Some(word) if !word.is_empty() => words.push(String::new()),
            _ => {}
        }
    }
    if let Some(word) = words.last_mut() {
        word.extend(quote);
    }
    words.iter().map(|word| unquote(word)).collect()
}

/// The text before the `"` that closes `text`, without the backslashes that escape a character there, and the text
/// after that quote; `None` where there is none.
fn split_double_quoted(text: &str) -> Option<(String, &str)> {
    let mut quoted = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((quoted, chars.as_str())),
            '\\' => {
                let escaped = chars.next()?;
                if !"$`\"\\".contains(escaped) {
                    quoted.push('\\');
                }
                quoted.push(escaped);
            }
            plain => quoted.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unsafe_words_are_quoted() {
        for (word, expected) in [
            ("/tmp", "/tmp"),
            ("root,a=b:c@d%e", "root,a=b:c@d%e"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("a;b", "'a;b'"),
            ("/mnt/é", "'/mnt/é'"),
        ] {
            assert_eq!(quote(word), expected);
        }
    }

    #[test]
    fn a_word_is_read_without_quotes_and_backslashes() {
        for (text, expected) in [
            ("", ""),
            ("/mnt/é", "/mnt/é"),
            (r"a\ b\(1\)\é", "a b(1)é"),
            (r"a\\b", r"a\b"),
            ("'a b'.img", "a b.img"),
            (r"'it'\''s'", "it's"),
            (r#""it's \"a\" \$b \c".img"#, r#"it's "a" $b \c.img"#),
            (r#"'a"\'b"'""#, r#"a"\b'"#),
            ("it's", "it's"),
            (r#"a "b\(1\)"#, r#"a "b(1)"#),
            ("a\\", "a\\"),
            ("'a' \"b\"", "a b"),
        ] {
            assert_eq!(unquote(text), expected, "{text}");
        }
        for word in ["", "a b", "it's", r"a\b", "\"$x\"", "ü'\n"] {
            assert_eq!(unquote(&quote(word)), word);
        }
    }

    #[test]
    fn words_are_separated_by_blanks_outside_of_quotes() {
        for (line, expected) in [
            ("", &[""][..]),
            ("xtask", &["xtask"]),
            ("xtask  deploy ", &["xtask", "deploy", ""]),
            (r"a\ b 'c d' e", &["a b", "c d", "e"]),
            (r#"x "st"#, &["x", "st"]),
            ("x 'a b", &["x", "a b"]),
            (r#"x "a\"b"#, &["x", r#"a"b"#]),
            ("x '' ", &["x", "", ""]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&[r#"'it'\''s' "a\"b\c" d\ e"#], |text| {
            assert_eq!(unquote(&quote(text)), text);
            (unquote(text), words(text))
        });
    }
}
