//! The command line that is completed.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::base::shell;
use crate::cli::Shell;

/// The alias by which cargo runs this program.
const ALIAS: &str = "xtask";

/// The words of a command line, the program first, up to the cursor.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The words without quotes: at least the program and the word at the cursor.
    pub words: Vec<String>,
    /// The beginning of the last word that the shell keeps: it replaces the rest.
    pub kept: String,
}

impl Line {
    /// The command line in `words`, the arguments of `__complete`; `None` where the cursor is at the program itself.
    pub fn new(shell: Shell, words: &[OsString]) -> Option<Self> {
        let (words, kept) = match (shell, words) {
            (Shell::Bash, [line, replaced]) => {
                let words = shell::words(&line.to_string_lossy());
                let kept = kept(words.last().map_or("", String::as_str), replaced);
                (words, kept)
            }
            (Shell::Bash, _) => return None,
            _ => {
                let words = words.iter().map(|word| shell::unquote(&word.to_string_lossy()));
                (words.collect(), String::new())
            }
        };
        let words = without_cargo(words);
        (words.len() > 1).then_some(Self { words, kept })
    }

    /// The word at the cursor.
    pub fn last(&self) -> &str {
        self.words.last().map_or("", String::as_str)
    }

    /// Whether the word at the cursor is an argument for another program.
    pub fn is_behind_separator(&self) -> bool {
        self.words[..self.words.len() - 1].iter().any(|word| word == "--")
    }

    /// The last value that the words before the cursor give to `option`.
    pub fn value_of(&self, option: &str) -> Option<&str> {
        let before = &self.words[..self.words.len() - 1];
        let joined = |word: &'_ String| word.strip_prefix(option).is_some_and(|rest| rest.starts_with('='));
        let at = before.iter().rposition(|word| word == option || joined(word))?;
        match before[at].split_once('=') {
            Some((_, value)) => Some(value),
            None => before.get(at + 1).map(String::as_str),
        }
    }

    /// Whether the words before the cursor have the switch `option`.
    pub fn has(&self, option: &str) -> bool {
        self.words[..self.words.len() - 1].iter().any(|word| word == option)
    }
}

/// The beginning of `word` before `replaced`, its end that bash replaces: bash separates words at `=` and `:` too.
fn kept(word: &str, replaced: &OsStr) -> String {
    let replaced = shell::unquote(&replaced.to_string_lossy());
    word.strip_suffix(replaced.as_str()).unwrap_or_default().to_owned()
}

/// `words` with this program in the place of `cargo xtask` and `cargo +TOOLCHAIN xtask`.
fn without_cargo(mut words: Vec<String>) -> Vec<String> {
    let is_cargo = words.first().is_some_and(|word| Path::new(word).file_name() == Some(OsStr::new("cargo")));
    let alias = if words.get(1).is_some_and(|word| word.starts_with('+')) { 2 } else { 1 };
    if is_cargo && words.get(alias).is_some_and(|word| word == ALIAS) {
        words.drain(..alias);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(shell: Shell, words: &[&str]) -> Option<(Vec<String>, String)> {
        let words = words.iter().map(OsString::from).collect::<Vec<_>>();
        Line::new(shell, &words).map(|line| (line.words, line.kept))
    }

    #[test]
    fn bash_separates_words_at_equal_signs_and_keeps_what_is_before_them() {
        for (text, replaced, words, kept) in [
            ("xtask fl", "fl", &["xtask", "fl"][..], ""),
            ("xtask flash ", "", &["xtask", "flash", ""], ""),
            ("xtask flash --mode=de", "de", &["xtask", "flash", "--mode=de"], "--mode="),
            ("xtask flash --mode=", "", &["xtask", "flash", "--mode="], "--mode="),
            ("xtask deploy \"st", "st", &["xtask", "deploy", "st"], ""),
            ("cargo xtask deploy st", "st", &["xtask", "deploy", "st"], ""),
            ("cargo +stable xtask de", "de", &["xtask", "de"], ""),
        ] {
            let expected = (words.iter().map(ToString::to_string).collect(), kept.to_owned());
            assert_eq!(line(Shell::Bash, &[text, replaced]), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_program_itself_is_not_completed() {
        assert_eq!(line(Shell::Bash, &["xta", "xta"]), None);
        assert_eq!(line(Shell::Bash, &["cargo xtask", "xtask"]), None);
        assert_eq!(line(Shell::Fish, &["cargo", "+stable", "xtask"]), None);
        assert_eq!(line(Shell::Zsh, &[]), None);
    }

    #[test]
    fn options_before_the_cursor_are_found() {
        let of = |words: &[&str]| {
            let words = words.iter().map(OsString::from).collect::<Vec<_>>();
            Line::new(Shell::Zsh, &words).unwrap()
        };
        assert_eq!(of(&["x", "--flake", "a", ""]).value_of("--flake"), Some("a"));
        assert_eq!(of(&["x", "--flake=a", "--flake=b=c", ""]).value_of("--flake"), Some("b=c"));
        assert_eq!(of(&["x", "--flake", ""]).value_of("--flake"), None);
        assert!(of(&["x", "--allow-virtual", ""]).has("--allow-virtual"));
        assert!(!of(&["x", "--allow-virtual"]).has("--allow-virtual"));
        assert!(of(&["x", "deploy", "--", "-"]).is_behind_separator());
        assert!(!of(&["x", "deploy", "--"]).is_behind_separator());
    }
}
