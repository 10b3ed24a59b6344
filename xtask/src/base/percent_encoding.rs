//! Percent encoding, as in URLs.

/// Encodes every byte of `text` that is neither alphanumeric nor in `-_` or `kept` as `%` and two hexadecimal digits;
/// no two texts have the same encoding. A leading dot is encoded too: no text becomes `.` or `..`.
pub fn encode(text: &[u8], kept: &[u8]) -> String {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || kept.contains(&byte);
    let encode_byte = |(at, &byte): (usize, &u8)| {
        let as_it_is = is_safe(byte) || byte == b'.' && at > 0;
        if as_it_is { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.iter().enumerate().map(encode_byte).collect()
}

/// Decodes percent-encoded text, of [`encode`] or any other program. A `%` without two digits stands for itself.
pub fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = (*first == b'%').then(|| more.get(..2)).flatten();
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    bytes
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
            ("..", "", "%2E."),
            ("/a/.b", "/", "/a/.b"),
        ] {
            assert_eq!(encode(text.as_bytes(), kept.as_bytes()), expected, "{text}");
            assert_eq!(decode(expected), text.as_bytes());
        }
        for (text, expected) in [("a%", "a%"), ("%2", "%2"), ("%zz%41", "%zzA"), ("%c3%b6", "ö")] {
            assert_eq!(decode(text), expected.as_bytes(), "{text}");
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check(&[b"a/b c", b"a%2Fb", "ö%c3%b6%".as_bytes()], |bytes| {
            assert_eq!(decode(&encode(bytes, b"/")), bytes);
            decode(&String::from_utf8_lossy(bytes))
        });
    }
}
