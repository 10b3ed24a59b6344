//! `nix build`, followed as it runs.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::events::{Line, Reader};
use super::{FEATURES, error};
use crate::process::Launcher;
use crate::ui::{Event, Reporter};

/// How many lines of a failed builder's log are shown.
const LOG_TAIL: usize = 20;

/// A finished build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The store path of the output `out`.
    pub out: PathBuf,
}

/// Builds `installable` without a result link and reports what goes on. `extra` goes to Nix as it is.
/// A failure ends with the last lines of the builder's log.
pub fn build(
    launcher: &Launcher,
    installable: &str,
    extra: &[String],
    reporter: &dyn Reporter,
) -> Result<Built> {
    let fixed = ["build", "--json", "--no-link", "--log-format", "internal-json", installable];
    let fixed = FEATURES.iter().chain(&fixed).map(ToString::to_string);
    let args = fixed.chain(extra.iter().cloned()).collect::<Vec<_>>();
    let (started, mut watch) = (Instant::now(), Watch::new(reporter));
    reporter.report(&Event::Phase { name: "build".into(), total: None, bytes: false });
    let output = launcher.follow("nix", &args, |line| watch.line(line))?;
    let (done, seconds) = (watch.done, started.elapsed().as_secs_f64());
    if output.success() {
        reporter.report(&Event::Done { name: "build".into(), amount: done, bytes: false, seconds });
        return parse_built(&output.stdout).with_context(|| format!("building {installable}"));
    }
    let failed = watch.into_error(installable);
    reporter.report(&Event::Failed { code: 1, message: failed.to_string() });
    Err(failed)
}

/// Reads `nix build --json`: the output `out` of the first derivation.
fn parse_built(json: &str) -> Result<Built> {
    let built: Value = serde_json::from_str(json).context("reading what nix build printed")?;
    let out = built[0]["outputs"]["out"].as_str().context("nix build names no output 'out'")?;
    Ok(Built { out: out.into() })
}

/// Turns lines of Nix into events, and keeps what an error message needs.
struct Watch<'a> {
    reader: Reader,
    reporter: &'a dyn Reporter,
    done: u64,
    log: VecDeque<String>,
    errors: String,
}

impl<'a> Watch<'a> {
    fn new(reporter: &'a dyn Reporter) -> Self {
        Self { reader: Reader::default(), reporter, done: 0, log: VecDeque::new(), errors: String::new() }
    }

    fn line(&mut self, line: &str) {
        match self.reader.read(line) {
            Line::Log(text) => self.log(text),
            Line::Started(name) => self.progress(None, Some(name)),
            Line::Builds { done, expected } => {
                self.done = done;
                self.progress(Some(expected), None);
            }
            Line::Message { level: 0, text } => self.errors.extend([text.as_str(), "\n"]),
            Line::Message { level: 1, text } => self.reporter.report(&Event::log(text)),
            Line::Message { .. } | Line::Other => {}
        }
    }

    fn progress(&self, total: Option<u64>, detail: Option<String>) {
        self.reporter.report(&Event::Progress { done: self.done, total, detail });
    }

    fn log(&mut self, text: String) {
        self.progress(None, Some(text.clone()));
        if self.log.len() == LOG_TAIL {
            self.log.pop_front();
        }
        self.log.push_back(text);
    }

    fn into_error(self, installable: &str) -> anyhow::Error {
        let error = error::classify(&self.errors, installable);
        if self.log.is_empty() {
            return error;
        }
        let lines = self.log.iter().map(|line| format!("  | {line}")).collect::<Vec<_>>();
        let tail = lines.join("\n");
        error.context(format!("the build failed; the last lines of its log:\n{tail}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_found() {
        let json = r#"[{"drvPath":"/nix/store/a-x.drv","outputs":{"out":"/nix/store/b-x"},"startTime":1}]"#;
        assert_eq!(parse_built(json).unwrap().out, PathBuf::from("/nix/store/b-x"));
        for json in ["", "[]", r#"[{"outputs":{"out":null}}]"#] {
            assert!(parse_built(json).is_err(), "{json}");
        }
    }
}
