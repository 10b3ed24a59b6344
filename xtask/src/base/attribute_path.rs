//! Attribute paths, as Nix reads them behind the `#` of an installable.

use super::percent_encoding;

/// The parts of the attribute path `text`; `None` for a text that is none: with an odd number of quotation marks, or
/// with encoded bytes that are not UTF-8.
///
/// As in `parseAttrPath` of Nix, a dot between quotation marks belongs to a part, no character escapes another, and an
/// empty part at the end does not count. Nix decodes the percent encoding before.
pub fn split_attribute_path(text: &str) -> Option<Vec<String>> {
    let decoded = String::from_utf8(percent_encoding::decode(text)).ok()?;
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for character in decoded.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted => parts.push(String::new()),
            other => parts.last_mut()?.push(other),
        }
    }
    if parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    (!is_quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_between_quotation_marks_belongs_to_a_part() {
        for (text, expected) in [
            ("images.pi", Some(vec!["images", "pi"])),
            ("images.\"pi.lan\".file", Some(vec!["images", "pi.lan", "file"])),
            ("images.p\"i.la\"n", Some(vec!["images", "pi.lan"])),
            ("a.\"b\\\".\"c\"", Some(vec!["a", "b\\", "c"])),
            ("a%2Eb%22c.d%22", Some(vec!["a", "bc.d"])),
            ("a%20b", Some(vec!["a b"])),
            (".a..b.", Some(vec!["", "a", "", "b"])),
            ("a.\"\"", Some(vec!["a"])),
            ("", Some(Vec::new())),
            ("images.\"pi", None),
            ("a%FF", None),
        ] {
            let parts = split_attribute_path(text);
            let parts = parts.as_ref().map(|parts| parts.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(parts, expected, "{text}");
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["images.\"pi.lan\".a%20b", ".a..\"\""], split_attribute_path);
    }
}
