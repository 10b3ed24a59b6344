//! Turns the log of a running `nix build` into events, and collects what an error message needs.

use std::collections::{HashMap, VecDeque};

use super::error;
use super::events::{Line, LogReader};
use super::warnings;
use crate::base::{Event, Reporter};

/// The most lines of a builder's log that are kept, and shown if the build fails.
const MAX_LOG_LINES: usize = 20;
/// The most bytes that are kept of a line.
const MAX_LINE_BYTES: usize = 4096;
/// The most bytes that are kept of an error.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// The most errors that are kept: the first errors, as these name the cause.
const MAX_ERRORS: usize = 64;
/// The most lines of ssh and git that are kept.
const MAX_FOREIGN_LINES: usize = 64;
/// The most builds that are kept with their logs.
const MAX_BUILDS: usize = 1024;

/// Monitors one run of `nix build` or `nix copy` by its log.
pub struct BuildMonitor<'a> {
    reporter: &'a dyn Reporter,
    reader: LogReader,
    /// How many store paths Nix has finished, by its own count.
    done: u64,
    /// How many store paths Nix will have finished at the end; `None` before Nix has counted them.
    total: Option<u64>,
    /// How many store paths were built or fetched. Nix's own counts include paths that were there already.
    made: u64,
    /// The builds by their activity id in the log of Nix.
    builds: HashMap<u64, Build>,
    /// The activity id of the build that was active last.
    last_build: Option<u64>,
    /// Errors of Nix itself.
    errors: Vec<String>,
    /// Messages of level 0 from others: a builder, a trace, or Nix on behalf of its daemon.
    unverified_errors: Vec<String>,
    /// The last lines that are no events of Nix: those of ssh and git, which fetch inputs.
    foreign_lines: VecDeque<String>,
}

/// A build, by its derivation, and the last lines of its log.
#[derive(Default)]
struct Build {
    drv: String,
    log: VecDeque<String>,
}

impl<'a> BuildMonitor<'a> {
    pub fn new(reporter: &'a dyn Reporter) -> Self {
        Self {
            reporter,
            reader: LogReader::default(),
            done: 0,
            total: None,
            made: 0,
            builds: HashMap::new(),
            last_build: None,
            errors: Vec::new(),
            unverified_errors: Vec::new(),
            foreign_lines: VecDeque::new(),
        }
    }

    /// Processes the next line of the log of Nix.
    pub fn process_line(&mut self, line: &str) {
        match self.reader.read(line) {
            Line::Building { id, drv } => self.begin_build(id, drv),
            Line::Fetching(path) => {
                self.made += 1;
                self.report_step(format!("fetching {}", short_name(&path)));
            }
            Line::Downloading(uri) => {
                self.report_step(format!("downloading {}", error::without_passwords(&uri)));
            }
            Line::Log { id, text } => self.add_log_line(id, text),
            Line::Count { done, total } if (done, Some(total)) != (self.done, self.total) => {
                self.done = done;
                self.total = Some(total);
                self.report_progress(None);
            }
            Line::Error(text) => push_error(&mut self.errors, text),
            Line::Message { level: 0, text } if text.starts_with("trace: ") => {
                // Of the traces of a flake, only its warnings are shown.
                if let Some(warning) = warnings::warning_text(&text) {
                    self.warn(warning);
                }
            }
            Line::Message { level: 0, text } => push_error(&mut self.unverified_errors, text),
            Line::Message { level: 1, text } => self.warn(warnings::warning_text(&text).unwrap_or(&text)),
            Line::Foreign(text) => push_line(&mut self.foreign_lines, MAX_FOREIGN_LINES, text),
            Line::Count { .. } | Line::Message { .. } | Line::Other => {}
        }
    }

    /// How many store paths were built or fetched.
    pub fn made_count(&self) -> u64 {
        self.made
    }

    /// How many store paths Nix has finished, by its own count.
    pub fn done_count(&self) -> u64 {
        self.done
    }

    /// Whether Nix only repeated the failure of an earlier evaluation.
    pub fn repeats_failure(&self) -> bool {
        self.causes().first().is_some_and(|text| error::is_cached_failure(text))
    }

    /// The error for a failed run, with the end of the log of the build that failed. `log_command DERIVATION` prints the
    /// whole log.
    pub fn into_error(self, installable: &str, log_command: &str) -> anyhow::Error {
        let causes = self.causes();
        let drv = causes.first().and_then(|text| error::first_derivation(text));
        let failed = self.builds.values().find(|build| Some(build.drv.as_str()) == drv);
        let last = self.last_build.and_then(|id| self.builds.get(&id));
        let log = failed.or(last).map(|build| Vec::from(build.log.clone())).unwrap_or_default();
        error::build_failed(installable, &causes, &Vec::from(self.foreign_lines), &log, log_command)
    }

    /// The errors, the cause first. With a daemon, only the last error of the run is marked as one of Nix: the cause of
    /// this error is among the unverified errors.
    pub fn causes(&self) -> Vec<String> {
        match self.errors.first() {
            None => self.unverified_errors.clone(),
            Some(first) if error::is_consequence(first) => {
                let names_derivation = |text: &&String| error::first_derivation(text).is_some();
                let causes = self.unverified_errors.iter().filter(names_derivation);
                causes.chain(&self.errors).cloned().collect()
            }
            Some(_) => self.errors.clone(),
        }
    }

    fn begin_build(&mut self, id: u64, drv: String) {
        self.made += 1;
        self.last_build = Some(id);
        self.report_step(format!("building {}", short_name(&drv)));
        if self.builds.len() >= MAX_BUILDS {
            self.builds.clear();
        }
        self.builds.insert(id, Build { drv, log: VecDeque::new() });
    }

    fn add_log_line(&mut self, id: u64, text: String) {
        self.report_progress(Some(text.clone()));
        self.last_build = Some(id);
        push_line(&mut self.builds.entry(id).or_default().log, MAX_LOG_LINES, text);
    }

    fn report_step(&self, text: String) {
        self.reporter.report(&Event::Step { text });
    }

    fn report_progress(&self, detail: Option<String>) {
        self.reporter.report(&Event::Progress { done: self.done, total: self.total, detail });
    }

    fn warn(&self, text: &str) {
        self.reporter.warn_once(&warnings::display_text(text));
    }
}

/// Adds `text`, unless there are [`MAX_ERRORS`] already.
fn push_error(errors: &mut Vec<String>, text: String) {
    if errors.len() < MAX_ERRORS {
        errors.push(truncate(text, MAX_ERROR_BYTES));
    }
}

/// Adds `line`; drops the first line where there are `max_lines` already.
fn push_line(lines: &mut VecDeque<String>, max_lines: usize, line: String) {
    if lines.len() == max_lines {
        lines.pop_front();
    }
    lines.push_back(truncate(line, MAX_LINE_BYTES));
}

/// The first `max_bytes` bytes of `text`, marked as cut if there are more.
fn truncate(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        let mut end = max_bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.shrink_to_fit();
        text.push_str(" [cut]");
    }
    text
}

/// The name of the store path `path`: `name` for `/nix/store/HASH-name.drv`.
fn short_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split_once('-').map_or(file, |(_, name)| name);
    name.trim_end_matches(".drv")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<Event>>);

    impl Reporter for Recorder {
        fn report(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    #[test]
    fn the_log_of_the_build_that_failed_is_shown() {
        let recorder = Recorder::default();
        let mut monitor = BuildMonitor::new(&recorder);
        for line in [
            r#"{"action":"start","id":1,"type":105,"fields":["/nix/store/a-bad.drv","",1,1]}"#,
            r#"{"action":"start","id":2,"type":105,"fields":["/nix/store/b-good.drv","",1,1]}"#,
            r#"{"action":"result","id":1,"type":101,"fields":["bad says"]}"#,
            r#"{"action":"result","id":2,"type":101,"fields":["good says"]}"#,
            r#"{"action":"msg","level":1,"msg":"warning: Git tree is dirty"}"#,
            r#"{"action":"msg","level":0,"msg":"error: Cannot build '/nix/store/a-bad.drv'.\n"}"#,
        ] {
            monitor.process_line(&format!("@nix {line}"));
        }
        assert_eq!(monitor.made_count(), 2);
        let error = monitor.into_error("F", "nix log").to_string();
        assert!(error.contains("\n  | bad says\n") && !error.contains("good says"), "{error}");
        let events = recorder.0.into_inner().unwrap();
        assert_eq!(events.first(), Some(&Event::Step { text: "building bad".into() }));
        assert_eq!(events.last(), Some(&Event::warning("Git tree is dirty")));
    }

    #[test]
    fn an_input_that_cannot_be_fetched_is_named() {
        let mut monitor = BuildMonitor::new(&crate::base::Silent);
        let error = "error:\n       … while updating the flake input 'secrets'\n\n       … while fetching the input \
                     'git+ssh://git@host/secrets.git'\n\n       error: revspec 'master' not found";
        let event = serde_json::json!({"action": "msg", "level": 0, "msg": error, "raw_msg": "x"});
        for line in [
            "git@host: Permission denied (publickey).",
            "fatal: Could not read from remote repository.",
            "",
            r#"@nix {"action":"msg","level":1,"msg":"warning: could not update cached head"}"#,
            &format!("@nix {event}"),
        ] {
            monitor.process_line(line);
        }
        let expected = "nix failed on F: revspec 'master' not found\n  while fetching the input 'secrets', \
                        'git+ssh://git@host/secrets.git'\n  | git@host: Permission denied (publickey).\n  \
                        | fatal: Could not read from remote repository.";
        assert_eq!(monitor.into_error("F", "nix log").to_string(), expected);
    }

    /// A builder can write events of Nix into its log.
    #[test]
    fn endless_output_of_a_builder_is_not_kept() {
        let mut monitor = BuildMonitor::new(&crate::base::Silent);
        let long = "x".repeat(1 << 20);
        for id in 0..300 {
            monitor.process_line(&format!(r#"@nix {{"action":"msg","level":0,"msg":"error: {long}"}}"#));
            monitor.process_line(&format!(
                r#"@nix {{"action":"result","id":{id},"type":101,"fields":["{long}"]}}"#
            ));
        }
        for id in 0..3000 {
            monitor.process_line(&format!(
                r#"@nix {{"action":"start","id":{id},"type":105,"fields":["/nix/store/a-x.drv"]}}"#
            ));
        }
        let logs = monitor.builds.values().flat_map(|build| &build.log);
        let kept = logs.chain(&monitor.unverified_errors).map(String::len);
        assert!(kept.sum::<usize>() < 8 << 20);
        assert!(monitor.builds.len() <= MAX_BUILDS && monitor.unverified_errors.len() <= MAX_ERRORS);
    }

    #[test]
    fn an_error_forged_by_a_builder_or_a_trace_is_no_cause() {
        let forged =
            r#"{"action":"msg","level":0,"msg":"error: builder for '/nix/store/x-forged.drv' failed"}"#;
        let error =
            |text: &str| format!(r#"{{"action":"msg","level":0,"msg":"error: {text}","raw_msg":"{text}"}}"#);
        let cause = |lines: &[&str]| {
            let mut monitor = BuildMonitor::new(&crate::base::Silent);
            for line in lines {
                monitor.process_line(&format!("@nix {line}"));
            }
            monitor.into_error("F", "nix log").to_string()
        };
        let real = error("builder for '/nix/store/a-real.drv' failed");
        let flood = [vec![forged; 2 * MAX_ERRORS], vec![&real]].concat();
        assert_eq!(cause(&flood), "nix failed on F: builder for '/nix/store/a-real.drv' failed");
        // A daemon reports the cause, and its client the consequence.
        let follows = error("1 dependencies of derivation '/nix/store/b-top.drv' failed to build");
        assert!(cause(&[forged, &follows]).contains("x-forged.drv"));
        assert!(cause(&[forged]).contains("x-forged.drv"));
    }
}
