//! Nix says every error with exit code 1: its text is classified here, in one table, and nowhere else.

use crate::failure::Kind;

/// A pattern in the text of an error, and what the user is told. Seen with Nix 2.26.3 and 2.34.8,
/// unless another version is named.
struct Rule {
    pattern: &'static str,
    remedy: &'static str,
}

const RULES: [Rule; 14] = [
    Rule {
        pattern: "is disabled; add '--extra-experimental-features",
        remedy: "nix refuses flakes: add `experimental-features = nix-command flakes` to nix.conf",
    },
    Rule {
        pattern: "could not find a flake.nix file",
        remedy: "there is no flake there: name one with --flake",
    },
    Rule { pattern: "is not part of a flake", remedy: "there is no flake there: name one with --flake" },
    Rule {
        pattern: "does not contain a '/flake.nix' file",
        remedy: "there is no flake there: name one with --flake",
    },
    Rule {
        pattern: "is not tracked by Git",
        remedy: "nix sees only files that git tracks: `git add` the file",
    },
    Rule {
        pattern: "flake.nix' does not exist",
        remedy: "nix sees only files that git tracks: `git add` the file",
    },
    // 2.26: `path '/nix/store/HASH-source/FILE' does not exist`.
    Rule {
        pattern: "' does not exist",
        remedy: "if a file is said to be missing, `git add` it: nix sees only files that git tracks",
    },
    Rule {
        pattern: "is not owned by current user",
        remedy: "the repository belongs to another user: see git's safe.directory",
    },
    Rule {
        pattern: "Exec format error",
        remedy: "this machine cannot run the host's programs: `cargo xtask doctor` says why",
    },
    Rule {
        pattern: "but I am a '",
        remedy: "this machine cannot build for that system: `cargo xtask doctor` says why",
    },
    Rule {
        pattern: "required system or feature not available",
        remedy: "this machine cannot build for that system: `cargo xtask doctor` says why",
    },
    Rule {
        pattern: "platform mismatch",
        remedy: "this machine cannot build for that system: `cargo xtask doctor` says why",
    },
    Rule {
        pattern: "cached failure of attribute",
        remedy: "an earlier failure was remembered: again with `-- --no-eval-cache`",
    },
    Rule { pattern: "does not provide attribute", remedy: "`cargo xtask hosts` lists what the flake offers" },
];

/// The error for a failed nix command: its own words, and the remedy where one is known.
pub fn classify(stderr: &str, flake: &str) -> anyhow::Error {
    let text = strip_ansi(stderr);
    let said = essence(&text);
    let rule = RULES.iter().find(|rule| text.contains(rule.pattern));
    let remedy = rule.map(|rule| format!("\n  {}", rule.remedy)).unwrap_or_default();
    Kind::Other.error(format!("nix failed on {flake}: {said}{remedy}"))
}

/// The part that says what is wrong: from the last `error:` on, without the trace before it.
fn essence(text: &str) -> &str {
    let text = text.trim();
    let from = text.rfind("error: ").map_or(0, |at| at + "error: ".len());
    text[from..].trim()
}

/// `text` without the escape sequences that colour it.
pub fn strip_ansi(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => drop(chars.by_ref().find(char::is_ascii_alphabetic)),
            _ => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_follows_the_words() {
        for (stderr, expected) in [
            (
                "\u{1b}[31;1merror:\u{1b}[0m path '/x' is not part of a flake (neither it nor its parents)",
                "nix failed on F: path '/x' is not part of a flake (neither it nor its parents)\n  there is no flake there: name one with --flake",
            ),
            ("warning: w\nerror:\n  trace\n  error: boom", "nix failed on F: boom"),
            ("plain", "nix failed on F: plain"),
        ] {
            assert_eq!(classify(stderr, "F").to_string(), expected);
        }
    }
}
