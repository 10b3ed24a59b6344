//! Texts made shorter for a terminal. Pipes, files and JSON have the whole text.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Where Nix keeps its packages.
const STORE: &str = "/nix/store/";
/// The length of the hash of a store path.
const HASH_LEN: usize = 32;
/// How much of a hash is shown: enough to tell two paths of the same name apart.
const SHOWN_HASH_LEN: usize = 8;

/// `text` with the hashes of its store paths cut to their beginning, followed by `ellipsis`: the names stay. Paths in
/// backquotes stay whole: they are for copying.
pub fn store_paths(text: &str, ellipsis: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts =
        parts.map(|(index, part)| if index % 2 == 0 { shorten(part, ellipsis) } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("`")
}

/// `text` with the hashes of all its store paths cut.
fn shorten(text: &str, ellipsis: &str) -> String {
    let mut parts = text.split(STORE);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown += STORE;
        match part.get(..HASH_LEN).filter(|hash| is_hash(hash) && part[HASH_LEN..].starts_with('-')) {
            Some(hash) => shown.extend([&hash[..SHOWN_HASH_LEN], ellipsis, &part[HASH_LEN..]]),
            None => shown += part,
        }
    }
    shown
}

/// Whether `text` has only digits of the base 32 of Nix.
fn is_hash(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// The beginning of `text` in at most `width` columns, `ellipsis` at its end included where something is missing.
pub fn end(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(ellipsis.width()) else { return first_columns(text.chars(), width) };
    first_columns(text.chars(), room).trim_end().to_owned() + ellipsis
}

/// The beginning and the end of `text` in at most `width` columns, with `ellipsis` between them where something is
/// missing: paths and names differ most at their ends.
pub fn middle(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(ellipsis.width()) else { return first_columns(text.chars(), width) };
    let last = first_columns(text.chars().rev(), room.div_ceil(2)).chars().rev().collect::<String>();
    first_columns(text.chars(), room - last.width()) + ellipsis + &last
}

/// `word` in pieces of at most `width` columns. A path is broken behind a slash, where one fits.
pub fn pieces(word: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = word;
    while rest.width() > width {
        let fitting = first_columns(rest.chars(), width);
        let len = fitting.len().max(rest.chars().next().map_or(0, char::len_utf8));
        let behind_slash = fitting.rfind('/').map(|slash| slash + 1).filter(|len| *len > 1);
        let (piece, after) = rest.split_at(behind_slash.unwrap_or(len));
        pieces.push(piece.to_owned());
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest.to_owned());
    }
    pieces
}

/// The first of `chars`, in at most `width` columns.
fn first_columns(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut columns = 0;
    let fits = |c: &char| {
        columns += c.width().unwrap_or(1);
        columns <= width
    };
    chars.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_path_keeps_its_name() {
        let hash = "bx096z1d0123456789abcdfghijklmnp";
        for (text, shown) in [
            (format!("pi runs /nix/store/{hash}-nixos-1."), "pi runs /nix/store/bx096z1d…-nixos-1."),
            (
                format!("/nix/store/{hash}-a /nix/store/{hash}-b/c"),
                "/nix/store/bx096z1d…-a /nix/store/bx096z1d…-b/c",
            ),
            (format!("/nix/store/{}-a", &hash[1..]), "/nix/store/x096z1d0123456789abcdfghijklmnp-a"),
            ("/nix/store/日本日本日本日本日本日本".to_owned(), "/nix/store/日本日本日本日本日本日本"),
            (
                format!("run `nix log /nix/store/{hash}-a`: /nix/store/{hash}-b"),
                "run `nix log /nix/store/bx096z1d0123456789abcdfghijklmnp-a`: /nix/store/bx096z1d…-b",
            ),
        ] {
            assert_eq!(store_paths(&text, "…"), shown);
        }
    }

    #[test]
    fn what_is_cut_fits() {
        for (text, width, at_end, at_middle) in [
            ("abcdef", 6, "abcdef", "abcdef"),
            ("abcdef", 5, "abcd…", "ab…ef"),
            ("abcdef", 4, "abc…", "a…ef"),
            ("ab cdef", 4, "ab…", "a…ef"),
            ("abcdef", 1, "…", "…"),
            ("abcdef", 0, "", ""),
            ("日本日本", 5, "日本…", "日…本"),
        ] {
            assert_eq!((end(text, width, "…"), middle(text, width, "…")), (at_end.into(), at_middle.into()));
        }
        assert_eq!((end("abcdef", 5, "..."), end("abcdef", 2, "...")), ("ab...".into(), "ab".into()));
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["日本 /nix/store/", "`a/`", "u\u{308}"], |text| {
            for width in 0..20 {
                assert!(
                    end(text, width, "…").width() <= width && middle(text, width, "...").width() <= width
                );
            }
            assert_eq!(store_paths(text, "…").matches('`').count(), text.matches('`').count());
        });
    }
}
