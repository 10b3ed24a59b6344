//! `nix copy`, reported as it runs.

use std::collections::VecDeque;

use anyhow::Result;

use super::build_monitor::BuildMonitor;
use super::cache::Transferred;
use super::programs::Programs;
use super::store_path::StorePath;
use super::{FEATURES, error};
use crate::base::process::Launcher;
use crate::base::{Reporter, RunningPhase};

/// The login to another machine whose store gets a copy, and the options of `nix copy`.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `USER@HOST`.
    pub login: String,
    /// The words behind `ssh` in a command for the user: options, then `USER@HOST`.
    pub ssh_words: String,
    /// The options for ssh, which Nix splits at each space; `None` keeps `NIX_SSHOPTS` of the environment.
    pub ssh_options: Option<String>,
    /// More options for `nix copy`.
    pub flags: Vec<&'static str>,
}

/// Copies the closure of `path` to the store of another machine, the `destination`, and reports the progress. Returns
/// how much the machine lacked.
///
/// # Errors
/// `Interrupted` where the user stopped the copy, and that of [`error::copy_failed`] where it fails. Store paths that
/// have arrived whole stay, and are not copied again.
pub fn copy(
    launcher: &Launcher,
    path: &StorePath,
    destination: &Destination,
    reporter: &dyn Reporter,
) -> Result<Transferred> {
    let phase = RunningPhase::begin(reporter, "copy");
    let store = format!("ssh://{}", destination.login);
    let fixed = ["copy", "--log-format", "internal-json", "--to", &store];
    let args = [&FEATURES[..], &fixed, &destination.flags, &[path.as_str()]].concat();
    let launcher = match &destination.ssh_options {
        Some(options) => launcher.clone().with_env("NIX_SSHOPTS", options),
        None => launcher.clone(),
    };
    let mut monitor = BuildMonitor::new(reporter);
    let mut host_lines = VecDeque::new();
    let output = launcher.stream("nix", &args, |line| {
        monitor.process_line(line);
        keep_host_line(&mut host_lines, line);
    })?;
    if !output.success() {
        let host_lines = Vec::from(host_lines);
        let programs = Programs::of(&launcher);
        let to = (destination.login.as_str(), destination.ssh_words.as_str());
        return Err(error::copy_failed(path, to, &monitor.causes(), &host_lines, &programs));
    }
    let moved = Transferred { paths: monitor.done_count(), bytes: monitor.copied_bytes() };
    phase.end(moved.paths);
    Ok(moved)
}

/// The most lines of ssh and of the host that are kept during a copy.
const MAX_HOST_LINES: usize = 20;
/// The most characters that are kept of such a line.
const MAX_LINE_LENGTH: usize = 500;

/// Adds `line` to `host_lines` if the line comes from ssh or from the host: Nix passes the lines of both on, between
/// its own events. The oldest lines are dropped.
fn keep_host_line(host_lines: &mut VecDeque<String>, line: &str) {
    let text = error::strip_ansi(line);
    if line.starts_with("@nix ") || text.trim().is_empty() {
        return;
    }
    if host_lines.len() == MAX_HOST_LINES {
        host_lines.pop_front();
    }
    host_lines.push_back(text.chars().take(MAX_LINE_LENGTH).collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_host_are_kept() {
        let mut lines = VecDeque::new();
        for line in ["@nix {\"action\":\"stop\",\"id\":1}", "", "\u{1b}[31;1merror:\u{1b}[0m no room"] {
            keep_host_line(&mut lines, line);
        }
        assert_eq!(lines, ["error: no room"]);
        for number in 0..1000 {
            keep_host_line(&mut lines, &format!("{number} {}", "x".repeat(10_000)));
        }
        assert_eq!((lines.len(), lines[0].len()), (MAX_HOST_LINES, MAX_LINE_LENGTH));
        assert!(lines[MAX_HOST_LINES - 1].starts_with("999 "));
    }
}
