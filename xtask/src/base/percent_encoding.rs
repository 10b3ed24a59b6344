//! Percent encoding, as in URLs.

use std::fmt::Write;

/// Encodes each byte of `text` that is neither alphanumeric nor in `-_` or `kept` as `%` and two hexadecimal digits.
/// Dots stay, except for a leading one: no text becomes `.` or `..`. No two texts have the same encoding.
pub fn encode(text: &[u8], kept: &[u8]) -> String {
    let mut encoded = String::new();
    for (index, byte) in text.iter().enumerate() {
        let is_inner_dot = *byte == b'.' && index > 0;
        if byte.is_ascii_alphanumeric() || b"-_".contains(byte) || kept.contains(byte) || is_inner_dot {
            encoded.push(char::from(*byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Decodes percent-encoded text, of [`encode`] or of another program. A `%` without two digits stands for itself.
pub fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after_first @ ..] = rest {
        if let Some((byte, after_digits)) = decode_byte(rest) {
            bytes.push(byte);
            rest = after_digits;
        } else {
            bytes.push(*first);
            rest = after_first;
        }
    }
    bytes
}

/// The byte that `%` and two digits at the beginning of `text` encode, and the text after them. `None` for a text that
/// begins in another way.
fn decode_byte(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = text.strip_prefix(b"%")?.split_at_checked(2)?;
    // `from_str_radix` would accept a sign.
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    Some((u8::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_encoded_and_decoded() {
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
        for (text, expected) in
            [("a%", "a%"), ("%2", "%2"), ("%zz%41", "%zzA"), ("%+f", "%+f"), ("%c3%b6", "ö")]
        {
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
