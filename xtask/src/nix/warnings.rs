//! The warnings of an evaluation: those of Nix, such as that of a dirty git tree, and those of the flake.

use std::sync::{Mutex, PoisonError};

use super::error::{failed_download, without_details};
use super::strip_ansi;
use crate::base::redact::without_passwords;
use crate::base::{Event, Reporter};

/// The beginning of a warning of Nix itself.
const NIX_PREFIX: &str = "warning: ";
/// The beginnings of warnings of flakes: by `builtins.warn`, and by `lib.warn` in older versions of nixpkgs.
const FLAKE_PREFIXES: &[&str] = &["evaluation warning: ", "trace: warning: ", "trace: evaluation warning: "];
/// The beginnings of other lines of Nix, ssh and git, which can follow a warning.
const OTHER_PREFIXES: &[&str] = &[
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
/// The beginnings of warnings that nobody can act on: of the lock file, which this tool keeps Nix from writing, and two
/// of Nix's own cache, which Nix prints for an input that it cannot fetch.
const HIDDEN_PREFIXES: &[&str] = &[
    "not writing modified lock file of flake",
    "could not update mtime for file",
    "could not update cached head",
];
/// The beginnings of warnings about the settings and the home of the user, and the end of those about a server that did
/// not answer: they say nothing of the flake.
const MACHINE_PREFIXES: &[&str] =
    &["unknown setting ", "unknown experimental feature ", "ignoring the user-specified setting ", "$HOME "];
const RETRIES: &str = "; Nix retries";
/// The beginning and the end of the warning about files that are not committed. The plan of a flash or a deploy names
/// the revision, with the word dirty.
const DIRTY: (&str, &str) = ("Git tree ", " is dirty");
/// The most warnings that are kept.
const MAX_WARNINGS: usize = 100;
/// The most lines that are kept after the first line of a warning.
const MAX_LINES: usize = 20;
/// The most characters that are kept of a line.
const MAX_LINE_LENGTH: usize = 1000;

/// The text of the warning that begins in `line`; `None` where no warning begins there.
pub fn warning_text(line: &str) -> Option<&str> {
    let flake_text = || FLAKE_PREFIXES.iter().find_map(|prefix| line.strip_prefix(prefix));
    line.strip_prefix(NIX_PREFIX).or_else(flake_text)
}

/// Whether the warning `text` tells the user nothing to do.
pub fn is_hidden(text: &str) -> bool {
    let is_dirty = text.starts_with(DIRTY.0) && text.trim_end().ends_with(DIRTY.1);
    is_dirty || HIDDEN_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether the warning `text`, as the tool shows it, is of this machine now, and not of the flake.
pub fn is_of_machine(text: &str) -> bool {
    text.ends_with(RETRIES) || MACHINE_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// The warning `text` as the tool shows it: without passwords. Nix warns of each attempt to reach a server, with the
/// time until the next attempt: all these warnings become the same text.
pub fn display_text(text: &str) -> String {
    let text = without_passwords(text.trim_end());
    summarize_attempt(&text).or_else(|| failed_download(&text)).unwrap_or(text)
}

/// The warning `text` of a failed attempt to reach a server, without the parts that differ between two attempts and
/// between two files of the server. `None` where `text` is another warning.
fn summarize_attempt(text: &str) -> Option<String> {
    let (error, _pause) = text.rsplit_once("; retrying ")?;
    let failed = error.strip_prefix("error: ").unwrap_or(error).strip_prefix("unable to ")?;
    let (verb, rest) = failed.split_once(" '")?;
    let (url, reason) = rest.split_once("': ")?;
    let reason = without_details(reason.lines().next().unwrap_or_default());
    Some(format!("unable to {verb} '{}': {reason}{RETRIES}", without_path(url)))
}

/// `url` with `…` in place of the path.
fn without_path(url: &str) -> String {
    let host_start = url.find("://").map_or(0, |position| position + "://".len());
    match url[host_start..].find('/') {
        Some(length) => format!("{}/…", &url[..host_start + length]),
        None => url.to_owned(),
    }
}

/// Collects the warnings among the lines that Nix prints.
#[derive(Default)]
pub struct Collector {
    warnings: Vec<String>,
    /// How many more lines the last warning may have; 0 after its end.
    lines_left: usize,
    /// Whether the last warning is of the flake, whose further lines are not indented.
    is_of_flake: bool,
}

impl Collector {
    /// Processes the next line of Nix.
    pub fn push(&mut self, line: &str) {
        let line = strip_ansi(line);
        if let Some(text) = warning_text(&line) {
            self.is_of_flake = !line.starts_with(NIX_PREFIX);
            self.begin_warning(text);
        } else if self.lines_left > 0 && self.is_continuation(&line) {
            self.continue_warning(&line);
        } else {
            self.lines_left = 0;
        }
    }

    fn begin_warning(&mut self, text: &str) {
        if is_hidden(text) || self.warnings.len() >= MAX_WARNINGS {
            self.lines_left = 0;
            return;
        }
        self.lines_left = MAX_LINES;
        self.warnings.push(truncate(text));
    }

    /// Whether `line` belongs to the last warning.
    fn is_continuation(&self, line: &str) -> bool {
        let is_other = OTHER_PREFIXES.iter().any(|prefix| line.starts_with(prefix));
        !is_other && (self.is_of_flake || line.starts_with([' ', '•']))
    }

    fn continue_warning(&mut self, line: &str) {
        self.lines_left -= 1;
        if let Some(warning) = self.warnings.last_mut() {
            warning.push('\n');
            warning.push_str(&truncate(line));
        }
    }

    /// Reports the collected warnings.
    pub fn report(&self, reporter: &dyn Reporter) {
        let mut texts = self.warnings.iter().map(|text| display_text(text)).collect::<Vec<_>>();
        texts.dedup();
        for text in &texts {
            reporter.warn_once(text);
        }
    }
}

/// The first [`MAX_LINE_LENGTH`] characters of `line`.
fn truncate(line: &str) -> String {
    line.chars().take(MAX_LINE_LENGTH).collect()
}

/// A reporter that passes events on, and records the warnings of an evaluation for its cached result.
pub struct WarningRecorder<'a> {
    reporter: &'a dyn Reporter,
    warnings: Mutex<Vec<String>>,
}

impl<'a> WarningRecorder<'a> {
    pub fn new(reporter: &'a dyn Reporter) -> Self {
        Self { reporter, warnings: Mutex::default() }
    }

    /// The recorded warnings, in order.
    pub fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for WarningRecorder<'_> {
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
        let recorder = WarningRecorder::new(&Silent);
        collector.report(&recorder);
        recorder.into_warnings()
    }

    #[test]
    fn warnings_of_nix_and_of_flakes_are_collected() {
        for (stderr, expected) in [
            ("warning: Git tree '/f' is odd\n", &["Git tree '/f' is odd"][..]),
            (
                "\u{1b}[35;1mwarning:\u{1b}[0m Git tree '/f' is odd\ncopying path 'x'\n  y",
                &["Git tree '/f' is odd"],
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
            ("warning: Git tree '/f' is dirty\n", &[]),
            ("error: x\n  warning: no\n  at y", &[]),
        ] {
            assert_eq!(collect(stderr), expected, "{stderr}");
        }
    }

    #[test]
    fn the_lines_of_a_warning_and_the_warnings_are_limited() {
        let endless = collect(&format!("evaluation warning: a\n{}", "b\n".repeat(10_000)));
        assert_eq!(endless[0].lines().count(), MAX_LINES + 1);
        let many = (0..10_000).map(|number| format!("warning: {number}\n")).collect::<String>();
        assert_eq!(collect(&many).len(), MAX_WARNINGS);
    }

    /// Nix 2.26 and 2.34 print such lines without a network, and for a server that is down.
    #[test]
    fn attempts_to_reach_a_server_are_one_warning() {
        let refused = "Could not connect to server (7) Failed to connect to h port 80 after";
        let mut lines = Vec::new();
        for pause in [265, 538, 1157] {
            for error in [
                format!(
                    "error: unable to download 'https://me:pw@h:8/a/{pause}.narinfo': Could not resolve hostname (6)"
                ),
                format!("unable to download 'http://h': {refused} {pause} ms: x"),
                "error: unable to upload 'http://h/x': HTTP error 502 ('')\n         response body: b"
                    .to_owned(),
            ] {
                lines.push(format!("warning: {error}; retrying in {pause} ms\n"));
            }
        }
        let mut found = collect(&lines.concat());
        found.sort_unstable();
        found.dedup();
        let expected = [
            "unable to download 'http://h': Could not connect to server; Nix retries",
            "unable to download 'https://…@h:8/…': Could not resolve hostname; Nix retries",
            "unable to upload 'http://h/…': HTTP error 502 (''); Nix retries",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_warning_of_anything_else_keeps_its_text() {
        assert_eq!(display_text("Git tree '/f' is odd\n"), "Git tree '/f' is odd");
    }

    #[test]
    fn fuzz() {
        let attempt =
            "error: unable to download 'https://h/x': Could not resolve hostname (6); retrying in 9 ms";
        crate::base::fuzz::check_text(&[attempt], display_text);
        let sample =
            "trace: warning: a\nb\nwarning: Git tree '/f' is odd\ncopying path 'x'\nevaluation warning: c";
        crate::base::fuzz::check_text(&[sample], collect);
    }
}
