//! Errors of a host that fetches from a binary cache, and of a push to one.

use schemars::JsonSchema;
use serde::Serialize;

use super::cache_remedy::{self, CacheClient};
use super::{strip_ansi, summarize};
use crate::base::redact::without_passwords;

/// The most characters of a cause.
const MAX_CAUSE: usize = 300;

/// What the command of a fetch prints in front of the folder on a host that has no binary cache there.
pub const NO_CACHE_IN_FOLDER: &str = "this host has no binary cache in ";

/// What it prints in front of the folder with a binary cache that lacks the system.
pub const LACKED_IN_FOLDER: &str = "the binary cache that this host has in ";

/// Why a host did not get a system from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FetchFaultKind {
    /// The cache cannot be reached by anybody, or nothing can be pushed to it.
    Gone,
    /// The host cannot reach the cache.
    Unreachable,
    /// The host trusts no key that has signed a path.
    Unsigned,
    /// The cache lacks a path.
    Incomplete,
    /// The user on the host may not choose a cache.
    NotAllowed,
    /// Another failure.
    Failed,
}

/// Why a host did not get a system from the cache, and what its Nix prints about that, in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FetchFault {
    #[serde(rename = "reason")]
    pub kind: FetchFaultKind,
    pub message: String,
}

/// The fault for each text that the Nix of a host prints; the first that occurs counts. Seen with Nix 2.26.3, unless a
/// comment says more.
const RULES: &[(&str, FetchFaultKind)] = &[
    ("untrusted substituter", FetchFaultKind::NotAllowed),
    ("is a restricted setting", FetchFaultKind::NotAllowed),
    ("a password is required", FetchFaultKind::NotAllowed), // sudo
    ("is not allowed to execute", FetchFaultKind::NotAllowed), // sudo
    ("not signed by any of the keys", FetchFaultKind::Unsigned),
    ("does not have a valid signature", FetchFaultKind::Unsigned), // 2.18
    ("lacks a signature by a trusted key", FetchFaultKind::Unsigned),
    ("lacks a valid signature", FetchFaultKind::Unsigned), // 2.3
    (NO_CACHE_IN_FOLDER, FetchFaultKind::Unreachable),
    (LACKED_IN_FOLDER, FetchFaultKind::Incomplete),
    ("does not exist in binary cache", FetchFaultKind::Incomplete),
    ("unable to download", FetchFaultKind::Unreachable),
    ("does not appear to be a binary cache", FetchFaultKind::Unreachable),
    ("cannot connect to", FetchFaultKind::Unreachable), // ssh-ng
    ("failed to start SSH connection", FetchFaultKind::Unreachable),
    ("don't know how to build these paths", FetchFaultKind::Incomplete),
    ("there is no substituter that can build it", FetchFaultKind::Incomplete),
];

impl FetchFault {
    /// The fault by the `lines` that the Nix of the host, sudo and ssh have printed, in their order.
    pub fn of_lines(lines: &[String]) -> Self {
        let found = RULES.iter().find_map(|(text, kind)| {
            lines.iter().position(|line| line.contains(text)).map(|at| (*kind, with_list(&lines[at..])))
        });
        let last = || lines.last().cloned().unwrap_or_else(|| "it printed no error".to_owned());
        let (kind, text) = found.unwrap_or_else(|| (FetchFaultKind::Failed, last()));
        Self { kind, message: one_line(&text) }
    }

    /// The remedy for `client`, whose Nix met the fault; `None` where the cache may only be switched off.
    pub fn hint(&self, client: CacheClient<'_>) -> Option<String> {
        cache_remedy::find(self, client)
    }
}

/// The cause of a failed push, by the errors of Nix and the lines of ssh.
pub fn cache_cause(errors: &[String], ssh_lines: &[String]) -> String {
    let cause = errors.first().or(ssh_lines.last()).map_or("nix printed no error", String::as_str);
    one_line(&summarize(cause))
}

/// Whether `text` is the error of Nix for a store that answers, and lacks a path.
pub fn is_missing_path(text: &str) -> bool {
    text.contains("is not valid")
}

/// The first of `lines`, with the indented lines that follow it where it is the head of a list.
fn with_list(lines: &[String]) -> String {
    let Some((head, rest)) = lines.split_first() else { return String::new() };
    let is_head = head.trim_end().ends_with(':');
    let list = rest.iter().take_while(|line| is_head && line.starts_with(' '));
    [head].into_iter().chain(list).map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// `text` in one line, without its mark, its secrets and its end, where it is long.
fn one_line(text: &str) -> String {
    let plain = strip_ansi(text);
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let bare =
        ["error: ", "warning: "].iter().fold(words.as_str(), |text, mark| text.trim_start_matches(mark));
    without_passwords(bare).chars().take(MAX_CAUSE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_nix_decide_the_fault() {
        use FetchFaultKind::{Failed, Incomplete, NotAllowed, Unreachable, Unsigned};
        for (lines, expected) in [
            (
                &[
                    "unable to download 'http://h/nix-cache-info': Could not connect to server (7)",
                    "don't know how to build these paths:",
                    "build of '/nix/store/a-x' failed",
                ][..],
                Unreachable,
            ),
            (
                &[
                    "ignoring substitute for '/nix/store/a-x' from 'http://h', as it's not signed by any of the keys \
                   in 'trusted-public-keys'",
                    "build of '/nix/store/a-x' failed",
                ],
                Unsigned,
            ),
            (
                &["file 'nar/x.nar.zst' does not exist in binary cache 'http://h'", "unable to download"],
                Incomplete,
            ),
            (&["don't know how to build these paths:", "build of '/nix/store/a-x' failed"], Incomplete),
            (&["this host has no binary cache in /mnt/cache"], Unreachable),
            (&["the binary cache that this host has in /mnt/cache lacks /nix/store/a-x"], Incomplete),
            (&["ignoring untrusted substituter 'http://h', you are not a trusted user."], NotAllowed),
            (&["sudo: a password is required"], NotAllowed),
            (&["error: writing to file: No space left on device"], Failed),
            (&[], Failed),
        ] {
            let lines = lines.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(FetchFault::of_lines(&lines).kind, expected, "{lines:?}");
        }
    }

    #[test]
    fn the_head_of_a_list_has_the_list() {
        for (lines, expected) in [
            (
                &[
                    "don't know how to build these paths:",
                    "  /nix/store/a-x",
                    "  /nix/store/b-y",
                    "build failed",
                ][..],
                "don't know how to build these paths: /nix/store/a-x /nix/store/b-y",
            ),
            (&["x", "unable to download 'http://h': no", "  more"], "unable to download 'http://h': no"),
            (&["don't know how to build these paths:"], "don't know how to build these paths:"),
        ] {
            let lines = lines.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(FetchFault::of_lines(&lines).message, expected);
        }
    }

    #[test]
    fn a_cause_is_one_short_line_without_secrets() {
        let fault = FetchFault::of_lines(&["\u{1b}[31;1merror:\u{1b}[0m no\n  https://me:pw@h/x".to_owned()]);
        assert_eq!(fault.message, "no https://…@h/x");
        assert!(cache_cause(&["x".repeat(9999)], &[]).len() <= MAX_CAUSE + 3);
        assert_eq!(cache_cause(&[], &["ssh: no route".to_owned()]), "ssh: no route");
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["error: unable to download 'http://h': no (7)"], |text| {
            FetchFault::of_lines(&text.lines().map(str::to_owned).collect::<Vec<_>>())
        });
    }
}
