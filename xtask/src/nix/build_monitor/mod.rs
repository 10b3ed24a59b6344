//! Turns the log of a running `nix build` into events, and collects what an error message needs.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::build_failures::BuildFailures;
use super::build_plan::BuildTime;
use super::derivation;
use super::error;
use super::events::{Line, LogReader};
use super::warnings;
use crate::base::{Bytes, Event, Reporter, redact};

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
/// The shortest time between two reports of bytes.
const BYTES_INTERVAL: Duration = Duration::from_millis(200);
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
    /// The builds that run, by their activity id, with the moment of their start.
    running: HashMap<u64, (Instant, BuildTime)>,
    /// The builds on this machine that have ended.
    times: Vec<BuildTime>,
    /// The activity id of the build that was active last.
    last_build: Option<u64>,
    /// Errors of Nix itself.
    errors: Vec<String>,
    /// Messages of level 0 from others: a builder, a trace, or Nix on behalf of its daemon.
    unverified_errors: Vec<String>,
    /// The activities that are reported as tasks.
    tasks: HashSet<u64>,
    /// When the bytes of transfers were reported last.
    bytes_reported: Option<Instant>,
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
            running: HashMap::new(),
            times: Vec::new(),
            last_build: None,
            errors: Vec::new(),
            unverified_errors: Vec::new(),
            tasks: HashSet::new(),
            bytes_reported: None,
            foreign_lines: VecDeque::new(),
        }
    }

    /// Processes the next line of the log of Nix.
    pub fn process_line(&mut self, line: &str) {
        match self.reader.read(line) {
            Line::Building { id, drv, machine } => self.begin_build(id, drv, &machine),
            Line::Fetching { id, path } => {
                self.made += 1;
                self.begin_task(id, format!("fetching {}", short_name(&path)), false);
            }
            Line::Downloading { id, uri } => {
                self.begin_task(id, format!("downloading {}", redact::without_passwords(&uri)), false);
            }
            Line::Stopped { id } => {
                self.end_build(id);
                if self.tasks.remove(&id) {
                    self.reporter.report(&Event::TaskEnded { task: id });
                }
            }
            Line::Transferred => self.report_bytes(),
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

    /// How long the builds on this machine took; those that failed are left out.
    pub fn take_times(&mut self) -> Vec<BuildTime> {
        let causes = self.causes().concat();
        let mut times = std::mem::take(&mut self.times);
        times.retain(|time| !causes.contains(&format!("-{}.drv", time.name)));
        times
    }

    /// How many store paths were built or fetched.
    pub fn made_count(&self) -> u64 {
        self.made
    }

    /// How many store paths Nix has finished, by its own count.
    pub fn done_count(&self) -> u64 {
        self.done
    }

    /// The bytes of store paths that Nix has copied.
    pub fn copied_bytes(&self) -> u64 {
        self.reader.copies().done
    }

    /// The last lines that are no events of Nix.
    pub fn foreign_lines(&self) -> impl Iterator<Item = &str> {
        self.foreign_lines.iter().map(String::as_str)
    }

    /// What the run says about the builds that failed.
    pub fn into_failures(self) -> BuildFailures {
        let last = self.last_build.and_then(|id| self.builds.get(&id));
        BuildFailures {
            causes: self.causes(),
            last_log: last.map(|build| Vec::from(build.log.clone())).unwrap_or_default(),
            logs: self.builds.into_values().map(|build| (build.drv, Vec::from(build.log))).collect(),
            foreign_lines: Vec::from(self.foreign_lines),
        }
    }

    /// The errors, the cause first. With a daemon, only the last error of the run is marked as an error of Nix: the
    /// cause of this error is among the unverified errors.
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

    fn begin_build(&mut self, id: u64, drv: String, machine: &str) {
        self.made += 1;
        self.last_build = Some(id);
        let place = if machine.is_empty() { String::new() } else { format!(" on {machine}") };
        let is_emulated = machine.is_empty() && derivation::is_emulated(&drv);
        self.begin_task(id, format!("building {}{place}", short_name(&drv)), is_emulated);
        if machine.is_empty() {
            let time = BuildTime { name: short_name(&drv).to_owned(), is_emulated, seconds: 0.0 };
            self.running.insert(id, (Instant::now(), time));
        }
        if self.builds.len() >= MAX_BUILDS {
            self.builds.clear();
        }
        self.builds.insert(id, Build { drv, log: VecDeque::new() });
    }

    fn end_build(&mut self, id: u64) {
        if let Some((started, time)) = self.running.remove(&id)
            && self.times.len() < MAX_BUILDS
        {
            self.times.push(BuildTime { seconds: started.elapsed().as_secs_f64(), ..time });
        }
    }

    fn add_log_line(&mut self, id: u64, text: String) {
        self.last_build = Some(id);
        let build = self.builds.entry(id).or_default();
        let source = Some(short_name(&build.drv).to_owned()).filter(|name| !name.is_empty());
        self.reporter.report(&Event::Output { task: Some(id), source, text: text.clone() });
        push_line(&mut build.log, MAX_LOG_LINES, text);
    }

    /// Reports the activity `id` as a task. Of more than [`MAX_BUILDS`] at a time the others are not reported.
    fn begin_task(&mut self, id: u64, text: String, is_emulated: bool) {
        if self.tasks.len() < MAX_BUILDS {
            self.tasks.insert(id);
            self.reporter.report(&Event::TaskStarted { task: id, text, is_emulated });
        }
    }

    /// Reports the bytes of downloads, or else of copies, at most every [`BYTES_INTERVAL`].
    fn report_bytes(&mut self) {
        if self.bytes_reported.is_some_and(|last| last.elapsed() < BYTES_INTERVAL) {
            return;
        }
        let downloads = self.reader.downloads();
        let (bytes, verb) =
            if downloads.total > 0 { (downloads, "downloaded") } else { (self.reader.copies(), "copied") };
        if bytes.total > 0 {
            self.bytes_reported = Some(Instant::now());
            self.report_progress(Some(format!("{} of {} {verb}", Bytes(bytes.done), Bytes(bytes.total))));
        }
    }

    fn report_progress(&self, detail: Option<String>) {
        self.reporter.report(&Event::Progress { done: self.done, total: self.total, detail });
    }

    fn warn(&self, text: &str) {
        if !warnings::is_hidden(text) {
            self.reporter.warn_once(&warnings::display_text(text));
        }
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
mod tests;
