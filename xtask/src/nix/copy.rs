//! `nix copy`, reported as it runs.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Result;

use super::build_monitor::BuildMonitor;
use super::store_path::StorePath;
use super::{FEATURES, error};
use crate::base::process::Launcher;
use crate::base::{Event, Reporter};

/// The store of another machine, and how to reach it.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `USER@HOST`.
    pub login: String,
    /// The options for ssh, which Nix splits at each space; `None` keeps `NIX_SSHOPTS` of the environment.
    pub ssh_options: Option<String>,
    /// More options for `nix copy`.
    pub flags: Vec<&'static str>,
}

/// Copies the closure of `path` to the store of another machine, and reports the progress.
///
/// # Errors
/// `Interrupted` where the user stopped the copy. Store paths that have arrived whole stay, and are not copied again.
pub fn copy(launcher: &Launcher, path: &StorePath, to: &Destination, reporter: &dyn Reporter) -> Result<()> {
    let started = Instant::now();
    reporter.report(&Event::Phase { name: "copy".into(), total: None, bytes: false });
    let store = format!("ssh://{}", to.login);
    let fixed = ["copy", "--log-format", "internal-json", "--to", &store];
    let args = [&FEATURES[..], &fixed, &to.flags, &[path.as_str()]].concat();
    let launcher = to.ssh_options.iter().fold(launcher.clone(), |it, text| it.with_env("NIX_SSHOPTS", text));
    let mut monitor = BuildMonitor::new(reporter);
    let mut host = VecDeque::new();
    let output = launcher.stream("nix", &args, |line| {
        monitor.line(line);
        keep_words(&mut host, line);
    })?;
    if !output.success() {
        return Err(error::copy_failed(path, &to.login, &monitor.causes(), host.make_contiguous()));
    }
    let amount = monitor.done();
    let seconds = started.elapsed().as_secs_f64();
    reporter.report(&Event::Done { name: "copy".into(), amount, bytes: false, seconds });
    Ok(())
}

/// How many lines are kept of what ssh and the host print during a copy.
const MAX_WORDS: usize = 20;
/// The most characters of such a line that are kept.
const MAX_WORDS_LENGTH: usize = 500;

/// Keeps `line` if it comes from ssh or from the host: Nix passes their stderr on, between its own events.
fn keep_words(words: &mut VecDeque<String>, line: &str) {
    let text = error::strip_ansi(line);
    if line.starts_with("@nix ") || text.trim().is_empty() {
        return;
    }
    if words.len() == MAX_WORDS {
        words.pop_front();
    }
    words.push_back(text.chars().take(MAX_WORDS_LENGTH).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_host_are_kept() {
        let mut words = VecDeque::new();
        for line in ["@nix {\"action\":\"stop\",\"id\":1}", "", "\u{1b}[31;1merror:\u{1b}[0m no room"] {
            keep_words(&mut words, line);
        }
        assert_eq!(words, ["error: no room"]);
        for number in 0..1000 {
            keep_words(&mut words, &format!("{number} {}", "x".repeat(10_000)));
        }
        assert_eq!((words.len(), words[0].len()), (MAX_WORDS, MAX_WORDS_LENGTH));
        assert!(words[MAX_WORDS - 1].starts_with("999 "));
    }
}
