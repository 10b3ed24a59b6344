//! Bytes written as in a URL.

/// `text` with every byte written as `%` and two digits that is neither plain nor in `kept`, so that no two texts
/// look alike.
pub fn encode(text: &[u8], kept: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte) || kept.contains(byte);
    let written =
        |byte: &u8| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    text.iter().map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, kept, expected) in [
            ("stinky", "", "stinky"),
            ("pi.example.org", "", "pi.example.org"),
            ("a-b_c", "", "a-b_c"),
            ("a/b", "", "a%2Fb"),
            ("a/b c", "/", "a/b%20c"),
            ("a%2Fb", "", "a%252Fb"),
            ("a b\0", "", "a%20b%00"),
            ("ö", "", "%C3%B6"),
        ] {
            assert_eq!(encode(text.as_bytes(), kept.as_bytes()), expected, "{text}");
        }
    }
}
