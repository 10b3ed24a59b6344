//! The words of a line that is folded.

use unicode_width::UnicodeWidthChar;

/// The fewest hexadecimal digits that count as a hash: a half of a SHA-256, which is left when the other half is on the
/// line before.
const MIN_HASH: usize = 32;
/// How many bytes of a word are searched for a hash.
const HASH_SEARCH_LEN: usize = 256;
/// What is on one line with the number before it.
const UNITS: &[&str] = &[
    "B", "KiB", "MiB", "GiB", "TiB", "B/s", "KiB/s", "MiB/s", "GiB/s", "KB", "MB", "GB", "TB", "ms", "s",
    "min", "h",
];

/// A word of a line, or a part of a word that is broken.
pub struct Word<'a> {
    pub text: &'a str,
    /// Whether the word goes on behind this part.
    pub is_part: bool,
}

/// The words of `text`, none wider than `width` columns if possible. A short text in backquotes is one word, and so are
/// a number and its unit. A wider word is broken into several, unless it is a path in backquotes.
pub fn words(text: &str, width: usize) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut is_in_command = false;
    while start < text.len() {
        let rest = &text[start..];
        let (len, gap) = first_word(rest, width, is_in_command);
        words.push(Word { text: &rest[..len], is_part: gap == 0 });
        is_in_command ^= rest[..len].matches('`').count() % 2 == 1;
        start += len + gap;
    }
    words
}

/// The length in bytes of the first word of `text`, and of the gap behind it: a blank, or nothing where the word is
/// broken. `is_in_command` is whether a backquote before `text` is still open.
fn first_word(text: &str, width: usize, is_in_command: bool) -> (usize, usize) {
    if let Some(len) = quantity(text, width).or_else(|| unbroken_word(text, width)) {
        return (len, 1);
    }
    let word = text.split(' ').next().unwrap_or_default();
    let fitting = fitting_len(word, width);
    let is_copied = is_in_command || word.contains('`');
    if fitting == word.len() || (is_copied && word.contains('/')) {
        return (word.len(), 1);
    }
    let behind_slash = || word[..fitting].rfind('/').map(|slash| slash + 1).filter(|len| *len > 1);
    (hash_part(word, width).or_else(behind_slash).unwrap_or(fitting), 0)
}

/// The length in bytes of the number and its unit with which `text` begins, such as `64.0 MiB)`. `None` for another
/// text, and where both are wider than `width` columns.
fn quantity(text: &str, width: usize) -> Option<usize> {
    let (number, rest) = text.split_once(' ')?;
    let unit = rest.split(' ').next()?;
    let digits = number.trim_start_matches('(');
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    let is_unit = UNITS.contains(&unit.trim_end_matches([')', ',', ';', ':', '.']));
    let len = number.len() + 1 + unit.len();
    // All of it is ASCII.
    (is_number && is_unit && len <= width).then_some(len)
}

/// The length in bytes of the first word of `text`, in which a command in backquotes may have blanks. `None` where that
/// word is wider than `width` columns, or where its last backquote is not closed.
fn unbroken_word(text: &str, width: usize) -> Option<usize> {
    let mut column = 0;
    let mut is_in_command = false;
    for (at, char) in text.char_indices() {
        if char == ' ' && !is_in_command {
            return Some(at);
        }
        column += char.width().unwrap_or(1);
        if column > width {
            return None;
        }
        if char == '`' {
            is_in_command = !is_in_command;
        }
    }
    if is_in_command { None } else { Some(text.len()) }
}

/// The length in bytes of the longest start of `word` that fits into `width` columns.
fn fitting_len(word: &str, width: usize) -> usize {
    let mut column = 0;
    let too_wide = word.char_indices().find(|(_, char)| {
        column += char.width().unwrap_or(1);
        column > width
    });
    too_wide.map_or(word.len(), |(at, _)| at)
}

/// The length in bytes of the first part of `word`, which is broken inside its hash: behind a half of a SHA-256, or
/// behind a quarter where `width` leaves no room for a half. `None` if the word has no hash in hexadecimal digits near
/// its start.
fn hash_part(word: &str, width: usize) -> Option<usize> {
    let searched_len = (0..=word.len().min(HASH_SEARCH_LEN)).rfind(|at| word.is_char_boundary(*at))?;
    let searched = &word[..searched_len];
    let hash = searched.split(|c: char| !c.is_ascii_hexdigit()).max_by_key(|digits| digits.len())?;
    if hash.len() < MIN_HASH {
        return None;
    }
    let start = searched.find(hash)?;
    let room = width.checked_sub(start)?;
    let len = [32, 16].into_iter().find(|len| *len <= room && *len < hash.len())?;
    Some(start + len)
}
