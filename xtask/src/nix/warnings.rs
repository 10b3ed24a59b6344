//! The warnings of an evaluation: those of Nix, such as that of a dirty git tree, and those of the flake.

use std::sync::{Mutex, PoisonError};

use super::error::without_passwords;
use super::strip_ansi;
use crate::base::{Event, Reporter};

/// How warnings begin: those of Nix, of `builtins.warn`, and of `lib.warn` in older versions of nixpkgs.
const PREFIXES: [&str; 4] =
    ["warning: ", "evaluation warning: ", "trace: warning: ", "trace: evaluation warning: "];
/// How the other lines of Nix, ssh and git begin that can follow a warning.
const OTHERS: [&str; 15] = [
    "trace: ",
    "error:",
    "copying ",
    "building ",
    "fetching ",
    "unpacking ",
    "downloading ",
    "querying ",
    "evaluating ",
    "these ",
    "this ",
    "ssh: ",
    "remote: ",
    "fatal: ",
    "Warning: ",
];
/// Warnings that nobody can act on: this tool keeps Nix from writing the lock of a flake, and Nix adds two of its own
/// cache to an input that it cannot fetch.
const HIDDEN: [&str; 3] = [
    "not writing modified lock file of flake",
    "could not update mtime for file",
    "could not update cached head",
];
/// How many warnings are kept.
const MAX_WARNINGS: usize = 100;
/// How many lines of a warning are kept, and how many characters of a line.
const MAX_LINES: usize = 20;
const MAX_LENGTH: usize = 1000;

/// `line` without the mark of a warning; `None` where it begins none.
pub fn text_of(line: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| line.strip_prefix(prefix))
}

/// A warning as it is shown: without passwords. Nix warns of each attempt to reach a server anew, with the time until
/// the next one: all of them are one warning.
pub fn shown(text: &str) -> String {
    let text = without_passwords(text.trim_end());
    retry(&text).unwrap_or(text)
}

/// `text` without what differs between two attempts and between two files of a server; `None` where it is no warning of
/// a failed attempt.
fn retry(text: &str) -> Option<String> {
    let (error, _) = text.rsplit_once("; retrying ")?;
    let failed = error.strip_prefix("error: ").unwrap_or(error).strip_prefix("unable to ")?;
    let (verb, rest) = failed.split_once(" '")?;
    let (url, reason) = rest.split_once("': ")?;
    let host = url.find("://").map_or(0, |at| at + 3);
    let origin = url[host..].find('/').map_or(url.to_owned(), |at| format!("{}…", &url[..=host + at]));
    // Then come the number that curl has for the error, and its details.
    let reason = reason.lines().next().unwrap_or_default();
    let is_number = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let end = reason.match_indices(" (").find(|(at, _)| is_number(&reason[at + 2..])).map(|(at, _)| at);
    Some(format!("unable to {verb} '{origin}': {}; Nix retries", &reason[..end.unwrap_or(reason.len())]))
}

/// Collects the warnings among the lines that Nix prints.
#[derive(Default)]
pub struct Collector {
    warnings: Vec<String>,
    /// How many more lines the last warning may have.
    left: usize,
    /// Whether the last warning is of the flake, whose further lines are not indented.
    is_of_flake: bool,
}

impl Collector {
    pub fn push(&mut self, line: &str) {
        let line = strip_ansi(line);
        let kept = |text: &str| text.chars().take(MAX_LENGTH).collect::<String>();
        if let Some(text) = text_of(&line) {
            let is_hidden = HIDDEN.iter().any(|begin| text.starts_with(begin));
            let is_kept = self.warnings.len() < MAX_WARNINGS && !is_hidden;
            self.left = if is_kept { MAX_LINES } else { 0 };
            self.is_of_flake = !line.starts_with(PREFIXES[0]);
            self.warnings.extend(is_kept.then(|| kept(text)));
        } else if OTHERS.iter().any(|begin| line.starts_with(begin)) || !self.continues(&line) {
            self.left = 0;
        } else if let (Some(last), Some(left)) = (self.warnings.last_mut(), self.left.checked_sub(1)) {
            self.left = left;
            last.push('\n');
            last.push_str(&kept(&line));
        }
    }

    fn continues(&self, line: &str) -> bool {
        self.is_of_flake || line.starts_with([' ', '•'])
    }

    pub fn report(&self, reporter: &dyn Reporter) {
        let mut texts = self.warnings.iter().map(|text| shown(text)).collect::<Vec<_>>();
        texts.dedup();
        for text in &texts {
            reporter.warn_once(text);
        }
    }
}

/// Passes events on, and keeps the warnings of an evaluation for its cached result.
pub struct Recorder<'a> {
    pub reporter: &'a dyn Reporter,
    warnings: Mutex<Vec<String>>,
}

impl<'a> Recorder<'a> {
    pub fn new(reporter: &'a dyn Reporter) -> Self {
        Self { reporter, warnings: Mutex::default() }
    }

    pub fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for Recorder<'_> {
    fn report(&self, event: &Event) {
        self.reporter.report(event);
    }

    fn warn_once(&self, text: &str) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        self.reporter.warn_once(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Silent;

    fn collect(text: &str) -> Vec<String> {
        let mut collector = Collector::default();
        text.lines().for_each(|line| collector.push(line));
        let recorder = Recorder::new(&Silent);
        collector.report(&recorder);
        recorder.into_warnings()
    }

    #[test]
    fn warnings_of_nix_and_of_flakes() {
        for (stderr, expected) in [
            ("warning: Git tree '/f' is dirty\n", &["Git tree '/f' is dirty"][..]),
            (
                "\u{1b}[35;1mwarning:\u{1b}[0m Git tree '/f' is dirty\ncopying path 'x'\n  y",
                &["Git tree '/f' is dirty"],
            ),
            (
                "trace: \u{1b}[1;31mwarning: `a' is deprecated\u{1b}[0m\ntrace: hello\nevaluation warning: one\n- two\n\n",
                &["`a' is deprecated", "one\n- two"],
            ),
            (
                "warning: not writing modified lock file of flake 'path:/f':\n• Added input 'a'\n    'path:/a'\nwarning: b\nc",
                &["b"],
            ),
            (
                "warning: creating lock file \"/f/flake.lock\": \n• Added input 'a':\n    'path:/a' (1970-01-01)\n",
                &["creating lock file \"/f/flake.lock\": \n• Added input 'a':\n    'path:/a' (1970-01-01)"],
            ),
            (
                "warning: could not update mtime for file '\"/c\"': x\nwarning: could not update cached head 'm'",
                &[],
            ),
            ("error: x\n  warning: no\n  at y", &[]),
        ] {
            assert_eq!(collect(stderr), expected, "{stderr}");
        }
        let endless = collect(&format!("evaluation warning: a\n{}", "b\n".repeat(10_000)));
        assert_eq!(endless[0].lines().count(), MAX_LINES + 1);
        let many = (0..10_000).map(|number| format!("warning: {number}\n")).collect::<String>();
        assert_eq!(collect(&many).len(), MAX_WARNINGS);
    }

    /// What Nix 2.26 and 2.34 print without a network, and for a server that is down.
    #[test]
    fn attempts_to_reach_a_server_are_one_warning() {
        let resolve = "Could not resolve hostname (6)";
        let refused = "Could not connect to server (7) Failed to connect to h port 80 after";
        let attempt = |text: &str, pause: u32| format!("warning: {text}; retrying in {pause} ms\n");
        let unresolved = |(at, pause)| {
            attempt(
                &format!("error: unable to download 'https://me:pw@h:8/a/{at}.narinfo': {resolve}"),
                pause,
            )
        };
        let stderr = [(0, 265), (1, 538), (2, 1157), (3, 2262)].map(unresolved);
        let others = [312, 604].map(|pause| {
            attempt(&format!("unable to download 'http://h': {refused} {pause} ms: x"), pause)
                + &attempt(
                    "error: unable to upload 'http://h/x': HTTP error 502 ('')\n         response body: b",
                    pause,
                )
        });
        let stderr = stderr.concat() + &others.concat();
        let expected = [
            "unable to download 'https://…@h:8/…': Could not resolve hostname; Nix retries",
            "unable to download 'http://h': Could not connect to server; Nix retries",
            "unable to upload 'http://h/…': HTTP error 502 (''); Nix retries",
        ];
        let mut found = collect(&stderr);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|text| expected.contains(&text.as_str())), "{found:?}");
        assert_eq!(shown("Git tree '/f' is dirty\n"), "Git tree '/f' is dirty");
    }

    #[test]
    fn fuzz() {
        let attempt =
            "error: unable to download 'https://h/x': Could not resolve hostname (6); retrying in 9 ms";
        crate::base::fuzz::check_text(&[attempt], shown);
        let sample =
            "trace: warning: a\nb\nwarning: Git tree '/f' is dirty\ncopying path 'x'\nevaluation warning: c";
        crate::base::fuzz::check_text(&[sample], collect);
    }
}
