//! The lines of checksum files, in the formats of coreutils, BSD, openssl, PowerShell and Nix.

use super::sum::{Algorithm, Sum};

/// A line with a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sum: Sum,
    /// The path of the file; `None` for a sum alone, and for one of stdin.
    pub path: Option<String>,
}

/// Parses one line: `SUM  PATH`, `SUM *PATH`, `SUM PATH`, a tab instead, `SHA256 (PATH) = SUM`, `SHA256(PATH)= SUM`,
/// `sha256:SUM`, `sha256-BASE64`, `SHA256 SUM PATH`, `PATH: SUM`, or a sum alone. `default` is the algorithm by the
/// name of the file, for sums that have no name of their own.
///
/// A backslash before the sum marks a path with escaped characters.
pub fn parse(line: &str, default: Option<Algorithm>) -> Option<Entry> {
    let line = line.trim_end_matches('\r').trim_start_matches([' ', '\t']);
    let unmarked = line.strip_prefix('\\').filter(|rest| !rest.starts_with('\\'));
    let bare = unmarked.unwrap_or(line);
    let (sum, path) = sum_first(bare, default)
        .or_else(|| tagged(bare, default))
        .or_else(|| labelled(bare))
        .or_else(|| path_first(bare, default))?;
    let path = if unmarked.is_some() { unescape(path)? } else { path.to_owned() };
    let is_named = !matches!(path.trim(), "" | "-" | "*-" | "stdin");
    Some(Entry { sum, path: is_named.then_some(path) })
}

/// Parses a text that is a sum alone.
pub fn bare(text: &str, default: Option<Algorithm>) -> Option<Sum> {
    parse(text.trim(), default).filter(|entry| entry.path.is_none()).map(|entry| entry.sum)
}

/// Parses a SHA-256 of a command line: hexadecimal digits, or `sha256-` and base64 (SRI, as Nix prints it).
///
/// # Errors
/// The text for the user.
pub fn parse_sha256(text: &str) -> Result<Sum, &'static str> {
    bare(text, Some(Algorithm::Sha256))
        .filter(|sum| sum.algorithm == Algorithm::Sha256)
        .ok_or("must be 64 hexadecimal digits, or sha256-BASE64")
}

/// `SUM  PATH`, `SUM *PATH`, and `SUM` alone. The second character after the sum, a blank or `*`, is coreutils' mark of
/// the mode in which the file was read.
fn sum_first(line: &str, default: Option<Algorithm>) -> Option<(Sum, &str)> {
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sum = Sum::parse(digits, default).filter(|_| is_hex)?;
    let rest = rest.get(1..).unwrap_or_default();
    Some((sum, rest.strip_prefix([' ', '*']).unwrap_or(rest)))
}

/// `SHA256 (PATH) = SUM`; openssl leaves the spaces out, and for stdin also the name of the algorithm.
fn tagged(line: &str, default: Option<Algorithm>) -> Option<(Sum, &str)> {
    let (tag, rest) = line.split_once('(')?;
    let (path, digits) = rest.rsplit_once(')')?;
    let digits = digits.trim().strip_prefix('=')?.trim();
    let algorithm = if tag.trim().is_empty() { default } else { Some(Algorithm::named(tag)?) };
    let sum = Sum::parse(digits, algorithm)?;
    (algorithm.is_none_or(|algorithm| algorithm == sum.algorithm)).then_some((sum, path))
}

/// `sha256:SUM`, `SHA256 = SUM`, `sha256-BASE64`, and `SHA256  SUM  PATH`, a row of PowerShell.
fn labelled(line: &str) -> Option<(Sum, &str)> {
    let at = line.find([':', '=', ' ', '\t']).filter(|at| Algorithm::named(&line[..*at]).is_some());
    let at = at.or_else(|| line.find('-'))?;
    let algorithm = Algorithm::named(&line[..at])?;
    let rest = line[at..].trim_start_matches([':', '=', ' ', '\t', '-']);
    let (digits, path) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let sum = Sum::parse(digits, Some(algorithm)).filter(|sum| sum.algorithm == algorithm)?;
    Some((sum, path.trim()))
}

/// `PATH: SUM` and `PATH SUM`.
fn path_first(line: &str, default: Option<Algorithm>) -> Option<(Sum, &str)> {
    let (path, digits) = line.trim_end().rsplit_once([' ', '\t', ':', '='])?;
    let sum = Sum::parse(digits, default)?;
    // A tag of an unknown algorithm is no path.
    let path = path.trim_end_matches([' ', '\t', ':', '=']).trim();
    (!path.contains('(')).then_some((sum, path))
}

/// The path without its escapes, as coreutils write it; `None` for an escape that they do not write.
fn unescape(path: &str) -> Option<String> {
    let mut chars = path.chars();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

/// Whether `line` names the file `name`, in whatever form: `name` stands there, and not as a part of a longer name.
pub fn mentions(line: &str, name: &str) -> bool {
    let is_outside = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !"._-+~".contains(c));
    !name.is_empty()
        && line.match_indices(name).any(|(at, _)| {
            is_outside(line[..at].chars().next_back()) && is_outside(line[at + name.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const BASE64: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

    #[test]
    fn forms_of_lines() {
        for (line, path) in [
            ("HEX  a.img", Some("a.img")),
            ("HEX *a.img\r", Some("a.img")),
            ("HEX a.img", Some("a.img")),
            ("HEX\ta.img", Some("a.img")),
            ("\t HEX  ./out/a b.img", Some("./out/a b.img")),
            ("SHA256 (a.img) = HEX", Some("a.img")),
            ("SHA256(a.img)= HEX", Some("a.img")),
            ("SHA2-256(a (1).img)= HEX", Some("a (1).img")),
            ("SHA256 (a.img) = BASE64", Some("a.img")),
            ("\\HEX  a\\\\b\\n.img", Some("a\\b\n.img")),
            ("\\SHA256 (a\\\\b.img) = HEX", Some("a\\b.img")),
            ("SHA256          HEX       C:\\a.img", Some("C:\\a.img")),
            ("a.img: HEX", Some("a.img")),
            ("a.img\tHEX", Some("a.img")),
            ("sha256:HEX", None),
            ("sha256:HEX  a.img", Some("a.img")),
            ("sha256 = HEX", None),
            ("sha256-BASE64", None),
            ("SHA256(stdin)= HEX", None),
            ("(stdin)= HEX", None),
            ("HEX  -", None),
            ("HEX", None),
        ] {
            let line = line.replace("HEX", HEX).replace("BASE64", BASE64);
            let entry = parse(&line, Some(Algorithm::Sha256)).expect(&line);
            assert_eq!((entry.sum.hex.as_str(), entry.path.as_deref()), (HEX, path), "{line}");
        }
        for line in [
            "SHA512 (a.img) = HEX",
            "SHA3-256 (a.img) = HEX",
            "SHA256 (a.img) HEX",
            "SHA256 (a.img = HEX",
            "\\HEX  a\\b.img",
            "xHEX  a.img",
            "a.img",
            "",
        ] {
            assert_eq!(parse(&line.replace("HEX", HEX), None), None, "{line}");
        }
    }

    #[test]
    fn a_sha256_of_the_command_line() {
        let upper = HEX.to_uppercase();
        let sri = format!("sha256-{BASE64}");
        for text in [HEX, &upper, &format!("sha256:{HEX}"), &sri, &format!(" {HEX}\n")] {
            assert_eq!(parse_sha256(text).map(|sum| sum.hex).as_deref(), Ok(HEX), "{text}");
        }
        let sha512 = HEX.repeat(2);
        let named = format!("{HEX}  a.img");
        for text in ["", &HEX[1..], &sha512, &HEX[..32], "sha512-ungW", &named, "sha256-ungW"] {
            assert_eq!(parse_sha256(text), Err("must be 64 hexadecimal digits, or sha256-BASE64"), "{text}");
        }
    }

    #[test]
    fn a_name_is_mentioned_as_a_whole() {
        for line in
            ["a.img", "\"a.img\": 1", "x/a.img", "SHA9 (a.img) = 1", "1 12 a.img 3", "a.img:", "x\\a.img"]
        {
            assert!(mentions(line, "a.img"), "{line}");
        }
        for line in ["", "not-a.img", "a.img.zst", "aa.img", "a.img~", "a_img", "a.imgs"] {
            assert!(!mentions(line, "a.img"), "{line}");
        }
    }

    #[test]
    fn fuzz() {
        let lines =
            [format!("\\{HEX} *a\\\\b.img"), format!("SHA2-256(a.img)= {BASE64}"), format!("a.img: {HEX}")];
        crate::base::fuzz::check_text(&lines.each_ref().map(String::as_str), |line| {
            (parse(line, None), mentions(line, "a.img"), parse_sha256(line))
        });
    }
}
