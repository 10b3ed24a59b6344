//! The lines of checksum files, in the formats of coreutils, BSD, openssl, PowerShell and Nix.

use super::Sum;
use super::algorithm::{Algorithm, NamedAlgorithm};

const SHA256: NamedAlgorithm = NamedAlgorithm::Known(Algorithm::Sha256);

/// A line with a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub sum: Sum,
    /// The path of the file; `None` for a sum alone, and for a sum of stdin.
    pub path: Option<String>,
}

/// Parses one line: `SUM  PATH`, `SUM *PATH`, `SUM PATH` (each with blanks or tabs), `SHA256 (PATH) = SUM`,
/// `SHA256(PATH)= SUM`, `sha256:SUM`, `sha256-BASE64`, `SHA256 SUM PATH`, `PATH: SUM`, `PATH SUM`, or a sum alone.
/// `None` for a line in no such form. `default` is the algorithm of sums whose line does not name the algorithm.
///
/// A backslash at the beginning of the line marks a path with escaped characters.
pub fn parse(line: &str, default: Option<NamedAlgorithm>) -> Option<Entry> {
    let line = line.trim_end_matches('\r').trim_start_matches([' ', '\t']);
    let escaped = line.strip_prefix('\\').filter(|rest| !rest.starts_with('\\'));
    let text = escaped.unwrap_or(line);
    let (sum, path) = parse_sum_first(text, default)
        .or_else(|| parse_tagged(text, default))
        .or_else(|| parse_algorithm_first(text))
        .or_else(|| parse_path_first(text, default))?;
    let path = if escaped.is_some() { unescape(path)? } else { path.to_owned() };
    let is_file = !matches!(path.trim(), "" | "-" | "*-" | "stdin");
    Some(Entry { sum, path: is_file.then_some(path) })
}

/// Parses a text that is a sum alone; `None` for any other text. `default` is the algorithm of a sum that names none,
/// in this function and in those below.
fn parse_sum_alone(text: &str, default: Option<NamedAlgorithm>) -> Option<Sum> {
    let Entry { sum, path } = parse(text.trim(), default)?;
    path.is_none().then_some(sum)
}

/// Parses a SHA-256 of a command line: hexadecimal digits, or `sha256-` and base64 (SRI, as Nix prints it).
///
/// # Errors
/// The words for the user about any other text.
pub fn parse_sha256(text: &str) -> Result<Sum, &'static str> {
    parse_sum_alone(text, Some(SHA256))
        .filter(|sum| sum.algorithm == Algorithm::Sha256)
        .ok_or("must be 64 hexadecimal digits, or sha256-BASE64")
}

/// Parses `SUM  PATH`, `SUM *PATH`, and `SUM` alone to the sum and the path, which may be empty. The second character
/// after the sum, a blank or `*`, is coreutils' mark of the mode in which the file was read.
fn parse_sum_first(line: &str, default: Option<NamedAlgorithm>) -> Option<(Sum, &str)> {
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex {
        return None;
    }
    let sum = Sum::parse(digits, default)?;
    let marked_path = rest.get(1..).unwrap_or_default();
    Some((sum, marked_path.strip_prefix([' ', '*']).unwrap_or(marked_path)))
}

/// Parses `SHA256 (PATH) = SUM` to the sum and the path; openssl leaves the spaces out, and for stdin also the name of
/// the algorithm.
fn parse_tagged(line: &str, default: Option<NamedAlgorithm>) -> Option<(Sum, &str)> {
    let (tag, rest) = line.split_once('(')?;
    let (path, assignment) = rest.rsplit_once(')')?;
    let digits = assignment.trim().strip_prefix('=')?.trim();
    let named = if tag.trim().is_empty() { default } else { Some(NamedAlgorithm::parse(tag)?) };
    Some((Sum::parse(digits, named)?, path))
}

/// Parses `sha256:SUM`, `SHA256 = SUM`, `sha256-BASE64`, and `SHA256  SUM  PATH`, a row of PowerShell, to the sum and
/// the path, which may be empty.
fn parse_algorithm_first(line: &str) -> Option<(Sum, &str)> {
    let (algorithm, rest) = split_algorithm(line)?;
    let (digits, path) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    Some((Sum::parse(digits, Some(algorithm))?, path.trim()))
}

/// The algorithm at the beginning of `line`, and the rest after the separator. A `-` separates too, unless it is a part
/// of the name, as in `SHA-256:`.
fn split_algorithm(line: &str) -> Option<(NamedAlgorithm, &str)> {
    for separators in [&[':', '=', ' ', '\t'][..], &['-']] {
        let Some(end) = line.find(separators) else { continue };
        if let Some(algorithm) = NamedAlgorithm::parse(&line[..end]) {
            return Some((algorithm, line[end..].trim_start_matches([':', '=', ' ', '\t', '-'])));
        }
    }
    None
}

/// Parses `PATH: SUM` and `PATH SUM` to the sum and the path.
fn parse_path_first(line: &str, default: Option<NamedAlgorithm>) -> Option<(Sum, &str)> {
    let (before, digits) = line.trim_end().rsplit_once([' ', '\t', ':', '='])?;
    let sum = Sum::parse(digits, default)?;
    let path = before.trim_end_matches([' ', '\t', ':', '=']).trim();
    // An algorithm without a path, a broken tag, and a tag with an algorithm that is not known.
    let first = path.split('(').next().unwrap_or_default().trim_end();
    let is_tag = path.ends_with(')') || NamedAlgorithm::parse(first).is_some();
    (!is_tag).then_some((sum, path))
}

/// Replaces the escapes of coreutils in `path` by the characters; `None` for an escape that coreutils do not write.
fn unescape(path: &str) -> Option<String> {
    let mut chars = path.chars();
    let mut plain = String::new();
    while let Some(next) = chars.next() {
        if next != '\\' {
            plain.push(next);
            continue;
        }
        plain.push(match chars.next()? {
            '\\' => '\\',
            'n' => '\n',
            'r' => '\r',
            _ => return None,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const BASE64: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

    /// A line in each form with a sum, and the path in the line. HEX and BASE64 stand for the constants.
    const KNOWN_FORMS: &[(&str, Option<&str>)] = &[
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
        ("nixos (1).img: HEX", Some("nixos (1).img")),
        ("sha256:HEX", None),
        ("sha256:HEX  a.img", Some("a.img")),
        ("sha256 = HEX", None),
        ("sha256-BASE64", None),
        ("SHA256(stdin)= HEX", None),
        ("(stdin)= HEX", None),
        ("HEX  -", None),
        ("HEX", None),
    ];

    /// Lines in other forms, or whose algorithm is unknown or does not fit the sum. HEX stands for the constant.
    const OTHER_FORMS: &[&str] = &[
        "SHA512 (a.img) = HEX",
        "SHA3-256 (a.img) = HEX",
        "SHA3-256: HEX",
        "sha3-256 HEX",
        "BLAKE2b-128 (a.img) = HEX",
        "SHA256 (a.img) HEX",
        "SHA256 (a.img = HEX",
        "\\HEX  a\\b.img",
        "xHEX  a.img",
        "a.img",
        "",
    ];

    #[test]
    fn only_the_known_forms_of_a_line_are_parsed() {
        for &(line, path) in KNOWN_FORMS {
            let line = line.replace("HEX", HEX).replace("BASE64", BASE64);
            let entry = parse(&line, Some(SHA256)).expect(&line);
            assert_eq!((entry.sum.hex.as_str(), entry.path.as_deref()), (HEX, path), "{line}");
        }
        for line in OTHER_FORMS {
            assert_eq!(parse(&line.replace("HEX", HEX), None), None, "{line}");
        }
    }

    #[test]
    fn a_sha256_of_the_command_line_is_parsed_or_refused() {
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
    fn fuzz() {
        let lines =
            [format!("\\{HEX} *a\\\\b.img"), format!("SHA2-256(a.img)= {BASE64}"), format!("a.img: {HEX}")];
        crate::base::fuzz::check_text(&lines.each_ref().map(String::as_str), |line| {
            (parse(line, None), parse_sha256(line))
        });
    }
}
