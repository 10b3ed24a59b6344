//! Quoting for shells.

/// `word` as one word of a command line of a POSIX shell or fish; quoted only where it has to be.
pub fn quote(word: &str) -> String {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@%,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
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
}
