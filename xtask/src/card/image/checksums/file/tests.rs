//! Checksum files in all forms, and those that are refused.

use super::*;
use crate::base::failure::{ExitKind, hint, kind};

/// The sums of the image `/srv/b/a.img.zst` in a checksum file beside it, each as its coverage and its first digit,
/// `File 1`. Each sum is one digit, repeated.
fn sums(scope: Scope, algorithm: Option<NamedAlgorithm>, text: &str) -> Result<Vec<String>> {
    let file = ChecksumFile { path: "/srv/b/SUMS".into(), scope, algorithm };
    let found = file.parse_sums(&expand(text), &Names::new(Path::new("/srv/b/a.img.zst"), true))?;
    Ok(found.iter().map(|expected| format!("{:?} {}", expected.coverage, &expected.sum.hex[..1])).collect())
}

/// Replaces each `#DIGIT` in `text` by a SHA-256 that consists of this digit.
fn expand(text: &str) -> String {
    let mut parts = text.split('#');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digit, rest) = part.split_at(1);
        expanded += &digit.repeat(64);
        expanded += rest;
    }
    expanded
}

#[test]
fn every_sum_of_the_image_is_found() {
    for (text, expected) in [
        ("#1  a.img.zst\n#2  b.img\n", &["File 1"][..]),
        ("#1 a.img.zst\n#2\ta.img.zst\nSHA256(a.img.zst)= #3\n", &["File 1", "File 2", "File 3"]),
        ("#1  a/a.img.zst\n#2  a.img.zst\n", &["File 2"]),
        ("#1  a/a.img.zst\n#2  ./a.img.zst\n#3  ../b/a.img.zst\n", &["File 2", "File 3"]),
        ("#1  a/a.img.zst\n#2  b/a.img.zst\n", &["File 2"]),
        ("#1  /home/ci/a.img.zst\n", &["File 1"]),
        ("#1 *C:\\out\\a.img.zst\r\n", &["File 1"]),
        ("#1  a.img\n#2  a.img.zst\n", &["File 2", "Content 1"]),
        ("#1  12 a.img.zst\n#2  a.img.zst\n", &["File 2"]),
        ("#1  \"a.img.zst\"\n", &["File 1"]),
        ("#1  'a.img.zst'\n#2  b/a.img.zst\n", &["File 1"]),
        ("#1  `x/a.img.zst`\n", &["File 1"]),
        ("#1  https://example.org/dl/a.img.zst?x=1\n", &["File 1"]),
        ("#1  \"https://example.org/dl/a.img.zst?x\"\n", &["File 1"]),
        ("#1  %61.img.zst\nSHA256 (a%2Eimg.zst) = #2\n", &["File 1", "File 2"]),
        ("\"a.img.zst\": #1\n", &["File 1"]),
        ("#1  'a.img'\n", &["Content 1"]),
        ("#1  not-a.img.zst\n#2  a.img.zst.sig\nno sums\n", &[]),
    ] {
        assert_eq!(sums(Scope::Many, None, text).unwrap(), expected, "{text}");
    }
}

#[test]
fn every_sum_in_a_file_for_one_image_is_of_the_image() {
    let sha256 = NamedAlgorithm::parse("sha256");
    for (text, expected) in [
        ("#1\n", &["Either 1"][..]),
        ("#1  before-it-was-renamed.img\n", &["Either 1"]),
        ("sha256:#1", &["Either 1"]),
        ("(stdin)= #1", &["Either 1"]),
        ("SHA256 hash of a.img.zst:\r\n#1\r\nCertUtil: -hashfile ended.\r\n", &["Either 1"]),
        ("#1  a.img.zst\n#2\n", &["File 1", "Either 2"]),
        ("#1  a.img\n#2  b.img\n", &["Content 1"]),
    ] {
        assert_eq!(sums(Scope::One, sha256, text).unwrap(), expected, "{text}");
    }
}

#[test]
fn a_file_for_one_image_without_its_sum_is_refused() {
    for text in ["", "not a sum\n", "#1  b.img\n#2  c.img\n"] {
        let error = sums(Scope::One, NamedAlgorithm::parse("sha256"), text).unwrap_err();
        assert_eq!(error.to_string(), "/srv/b/SUMS has no SHA-256 of a.img.zst");
    }
}

#[test]
fn a_line_that_is_not_understood_is_shown() {
    for line in [
        "SHA3-256 (a.img.zst) = #1",
        "SHA512 (a.img.zst) = #1",
        "1234  a.img.zst",
        "  \"a.img.zst\": \"#1\",",
        "#1 12345 a.img.zst",
        "3912 12 a.img.zst",
        "a.img.zst: BA7816BF 8F01CFEA",
        "SHA3-256 (%61.img.zst) = #1",
        "#1  a.img.zst,",
        "#1  **a.img.zst**",
        "#1  [a.img.zst](https://example.org/x)",
        "#1  https://example.org/dl?file=a.img.zst",
        "#1  https://example.org/a.img.zst/download",
        "#1  file:a.img.zst",
        "#1  a.img.zst.",
    ] {
        for text in [format!("#2  b.img\n{line}\n"), format!("#2  b.img\r\n{line}\r\n#3  c.img")] {
            let error = sums(Scope::Many, None, &text).unwrap_err();
            let shown = expand(line).trim().chars().take(SHOWN_LINE).collect::<String>();
            let words = "/srv/b/SUMS names a.img.zst in line 2, whose form is not understood: ";
            assert_eq!(error.to_string(), format!("{words}{shown}"));
            assert_eq!(kind(&error), ExitKind::Refused);
            assert!(hint(&error).is_some_and(|hint| hint.ends_with("or remove /srv/b/SUMS")));
        }
    }
}

/// A line that is not understood is refused also beside one that is.
#[test]
fn a_right_line_hides_no_other() {
    for text in ["#1  a.img.zst\n#2  a.img.zst,\n", "#1  x?f=a.img.zst\n#1  a.img.zst\n"] {
        for scope in [Scope::One, Scope::Many] {
            assert!(
                sums(scope, None, text).unwrap_err().to_string().contains("form is not understood"),
                "{text}"
            );
        }
    }
}

/// A name that is escaped or quoted for a shell is compared, or its line is refused.
#[test]
fn a_name_may_be_a_word_of_a_shell() {
    for (name, word) in [
        ("pi(1).img.zst", r"pi\(1\).img.zst"),
        ("pi(1).img.zst", r#""pi\(1\).img.zst""#),
        ("pi(1).img.zst", r"./out/pi\(1\).img.zst"),
        ("it's.img.zst", r"it\'s.img.zst"),
        ("it's.img.zst", r"'it'\''s.img.zst'"),
        ("it's.img.zst", r#"it"'"s.img.zst"#),
        ("a&b.img.zst", r"a\&b.img.zst"),
        ("pi.img.zst", r"pi\.img.zst"),
        ("my pi.img.zst", "'my pi'.img.zst"),
        ("my pi.img.zst", r"my\ pi\.img.zst"),
        (r"pi\.img.zst", r"pi\.img.zst"),
    ] {
        let names = Names::new(&Path::new("/srv/b").join(name), true);
        let file = ChecksumFile { path: "/srv/b/SUMS".into(), scope: Scope::Many, algorithm: None };
        let sums = |text: &str| file.parse_sums(&expand(text), &names);
        for line in [format!("#1  {word}\n"), format!("SHA256 ({word}) = #1\n")] {
            let found = sums(&format!("#2  b.img\n{line}")).unwrap();
            assert!(found.len() == 1 && found[0].sum.hex.starts_with('1'), "{line}: {found:?}");
        }
        for line in [format!("1234  {word}"), format!("#1  {word},")] {
            let error = sums(&format!("#2  b.img\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains(" in line 2, whose form is not understood: "), "{line}: {error}");
        }
    }
    assert_eq!(sums(Scope::Many, None, "#1  a\\.img.zst\n#2  a.img.zst\n").unwrap(), ["File 1", "File 2"]);
    assert_eq!(sums(Scope::Many, None, "#1  x/a\\.img.zst\n#2  a.img.zst\n").unwrap(), ["File 2"]);
}

/// The name of the file or the tag of the line decides the algorithm, whatever the length of the sum.
#[test]
fn a_length_overrules_no_name() {
    let refused = |name: &str, text: &str| {
        let named = NamedAlgorithm::parse(name);
        assert!(named.is_some(), "{name}");
        [Scope::One, Scope::Many].map(|scope| sums(scope, named, text).unwrap_err().to_string())
    };
    let half = "1".repeat(32);
    for (name, text) in [
        ("SHA512SUMS", "#1  a.img.zst"),
        ("MD5SUMS", "#1  a.img.zst"),
        ("SHA256SUMS", "#1#1  a.img.zst"),
        ("SHA1SUMS", &format!("{half}  a.img.zst")),
        ("SHA3SUMS", "#1  a.img.zst"),
        ("SHA3SUMS", "SHA3-256(a.img.zst)= #1"),
        ("BLAKE3SUMS", "#1#1  a.img.zst"),
        ("B2SUMS", "BLAKE2b-128 (a.img.zst) = #1"),
        ("CRC32SUMS", "12345678  a.img.zst"),
        ("sfv", "a.img.zst 1234ABCD"),
    ] {
        for error in refused(name, text) {
            assert!(error.contains(" names a.img.zst in line 1, whose form is not understood: "), "{error}");
        }
    }
    for (text, line) in [
        ("#1\n", "line 1 is: 1111"),
        (" \n\n#1\n", "line 3 is: 1111"),
        ("SHA3-256 #1", "line 1 is: SHA3"),
        ("; 1 file: a.img.zst\nb.img 1234ABCD", "line 2 is: b.img 1234ABCD"),
    ] {
        let error = sums(Scope::One, NamedAlgorithm::parse("sha3"), text).unwrap_err().to_string();
        assert!(
            error.contains(&format!("has no checksum of a.img.zst that can be compared; {line}")),
            "{error}"
        );
    }
    let digits =
        sums(Scope::Many, NamedAlgorithm::parse("B2SUMS"), "#1  a.img.zst\nBLAKE2b-256 (a.img.zst) = #2\n");
    assert_eq!(digits.unwrap(), ["File 1", "File 2"]);
}

#[test]
fn a_byte_order_mark_decides_the_encoding() {
    let wide = "\u{feff}sum".encode_utf16().collect::<Vec<_>>();
    let [little, big] = [u16::to_le_bytes, u16::to_be_bytes]
        .map(|bytes_of| wide.iter().flat_map(|unit| bytes_of(*unit)).collect());
    for bytes in [b"sum".to_vec(), "\u{feff}sum".into(), little, big] {
        assert_eq!(decode_text(&bytes), "sum");
    }
}

#[test]
fn fuzz() {
    let text = expand("# a\n#1  a.img.zst\n\\#2 *x/a.img.zst\nSHA256 (a.img) = #3\n\u{feff}a.img.zst: 12\n");
    crate::base::fuzz::check(&[text.as_bytes()], |bytes| {
        let text = decode_text(bytes);
        [Scope::One, Scope::Many].map(|scope| sums(scope, None, &text.replace('#', "")))
    });
}
