//! Bytes written as in a URL.

/// `text` with every byte written as `%` and two digits that is neither plain nor in `kept`, so that no two texts
/// look alike. A dot is plain behind something else: no text becomes the name of a folder above.
pub fn encode(text: &[u8], kept: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || kept.contains(&byte);
    let written = |(at, &byte): (usize, &u8)| {
        let plain = plain(byte) || byte == b'.' && at > 0;
        if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.iter().enumerate().map(written).collect()
}

/// The bytes that [`encode`] wrote, or any other program. A `%` without two digits stands for itself.
pub fn decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
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
