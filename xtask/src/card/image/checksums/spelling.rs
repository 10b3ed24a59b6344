//! The names of files in checksum files, in all their spellings.

use crate::base::{percent_encoding, shell};

/// The paths that `listed` may stand for: `listed` itself, and the path in quotes, as a word of a shell, in an address
/// or in percent-encoding.
pub fn spellings(listed: &str) -> Vec<String> {
    const QUOTES: [(char, char); 6] = [
        ('"', '"'),
        ('\'', '\''),
        ('`', '`'),
        ('<', '>'),
        ('\u{201c}', '\u{201d}'),
        ('\u{2018}', '\u{2019}'),
    ];
    let trimmed = listed.trim();
    let unquoted = QUOTES.iter().find_map(|(open, close)| trimmed.strip_prefix(*open)?.strip_suffix(*close));
    let path = unquoted.unwrap_or(trimmed);
    // In a path of Windows, only the blanks may be escaped.
    let mut spellings = vec![listed.to_owned(), path.replace("\\ ", " ")];
    for reading in [path.to_owned(), shell::unquote(path), shell::unquote(trimmed)] {
        let address = without_query(&reading).to_owned();
        let decoded = String::from_utf8_lossy(&percent_encoding::decode(&address)).into_owned();
        spellings.extend([reading, address, decoded]);
    }
    spellings
}

/// The address `path` without its scheme and its query; `path` itself where it is no address.
fn without_query(path: &str) -> &str {
    match path.split_once("://") {
        Some((_, address)) => address.split(['?', '#']).next().unwrap_or(address),
        None => path,
    }
}

/// Whether `line` contains the file name `name` in any form, but not as a part of a longer name.
pub fn mentions(line: &str, name: &str) -> bool {
    let is_boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !"_-+~".contains(c));
    let is_whole_name = |line: &str, start: usize| {
        let before = &line[..start];
        // A dot before a name is a part of it, and one behind it may end a sentence.
        let after = line[start + name.len()..].trim_start_matches('.');
        !before.ends_with('.') && is_boundary(before.chars().next_back()) && is_boundary(after.chars().next())
    };
    let decoded = percent_encoding::decode(line);
    let decoded = String::from_utf8_lossy(&decoded);
    let readings = [line, &decoded, &shell::unquote(line), &line.replace('\\', "")];
    let is_in = |line: &&str| line.match_indices(name).any(|(start, _)| is_whole_name(line, start));
    !name.is_empty() && readings.iter().any(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_mentioned_as_a_whole() {
        for line in [
            "a.img",
            "\"a.img\": 1",
            "x/a.img",
            "SHA9 (a.img) = 1",
            "1 12 a.img 3",
            "a.img:",
            "x\\a.img",
            "see a.img.",
            "%61.img",
            r"12 a\.img",
            "12 'a'.img",
            r#""a\.img": 1"#,
        ] {
            assert!(mentions(line, "a.img"), "{line}");
        }
        for line in
            ["", "not-a.img", "a.img.zst", "aa.img", "a.img~", "a_img", "a.imgs", ".a.img", "a.img..b"]
        {
            assert!(!mentions(line, "a.img"), "{line}");
        }
    }

    #[test]
    fn a_path_is_read_in_quotes_and_in_addresses() {
        for listed in [
            "my pi.img",
            "\"my pi.img\"",
            "'my pi.img' ",
            "`my pi.img`",
            "<my pi.img>",
            "\u{201c}my pi.img\u{201d}",
            "my%20pi.img",
            "'my%20%70i.img'",
            "my\\ pi.img",
            "'my pi'.img",
            "my\" \"pi.img",
            "\"my pi\\.img\"",
            "'my%20pi'.img",
        ] {
            assert!(spellings(listed).iter().any(|path| path == "my pi.img"), "{listed}");
        }
        for listed in ["https://example.org/pi.img?x=1#y", "\"https://example.org/%70i.img\""] {
            assert!(spellings(listed).iter().any(|path| path == "example.org/pi.img"), "{listed}");
        }
    }

    #[test]
    fn fuzz() {
        let lines = ["12 *x\\a.img", "'a'\\.img", "<https://example.org/a.img?x#y>"];
        crate::base::fuzz::check_text(&lines, |line| (mentions(line, "a.img"), spellings(line)));
    }
}
