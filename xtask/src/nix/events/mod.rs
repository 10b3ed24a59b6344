//! Parses the log of Nix in the format `internal-json`: one event a line.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::nix::error::strip_ansi;
use crate::nix::transfers::{TransferCount, Transfers};

/// The numbers of activities, which events with the action `start` have, from Nix's `logging.hh`.
mod activity {
    pub const COPY_PATH: u64 = 100;
    pub const FILE_TRANSFER: u64 = 101;
    pub const COPY_PATHS: u64 = 103;
    pub const BUILDS: u64 = 104;
    pub const BUILD: u64 = 105;
    pub const SUBSTITUTE: u64 = 108;
}

/// The numbers of results, which events with the action `result` have, from Nix's `logging.hh`.
mod result {
    pub const BUILD_LOG_LINE: u64 = 101;
    pub const PROGRESS: u64 = 105;
    pub const SET_EXPECTED: u64 = 106;
}

/// A line of the log, as far as this tool uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The build of the derivation `drv` begins, on the builder `machine`, or here if that is empty; its log lines have
    /// the same `id`.
    Building { id: u64, drv: String, machine: String },
    /// Nix fetches a store path from a binary cache.
    Fetching { id: u64, path: String },
    /// Nix downloads a file that is no part of a store path, such as the source of an input.
    Downloading { id: u64, uri: String },
    /// The activity `id` has ended.
    Stopped { id: u64 },
    /// The bytes of downloads or copies have changed: see [`LogReader::downloads`] and [`LogReader::copies`].
    Transferred,
    /// One line of a builder's log.
    Log { id: u64, text: String },
    /// How many store paths Nix has built or fetched so far, and how many it will have at the end.
    Count { done: u64, total: u64 },
    /// An error of Nix itself: only these have the field `raw_msg`, which messages of a builder or of a trace lack.
    Error(String),
    /// A message of Nix, of a builder or of a flake; level 0 is an error, level 1 a warning.
    Message { level: u64, text: String },
    /// A line that is no event of Nix, such as a line of ssh.
    Foreign(String),
    /// An event that this tool does not use.
    Other,
}

/// An event of Nix as its JSON has it.
#[derive(Deserialize)]
struct RawEvent {
    action: String,
    /// The id of the activity.
    #[serde(default)]
    id: u64,
    /// The number of the [`activity`] or of the [`result`].
    #[serde(default, rename = "type")]
    kind: u64,
    #[serde(default)]
    level: u64,
    #[serde(default)]
    msg: String,
    #[serde(rename = "raw_msg")]
    bare_text: Option<IgnoredAny>,
    #[serde(default)]
    fields: Vec<Value>,
}

/// Parses the lines of a log in order, and remembers which activities count the builds, the fetches and their bytes.
#[derive(Default)]
pub struct LogReader {
    builds: Counter,
    fetches: Counter,
    downloads: Transfers,
    copies: Transfers,
}

/// The activity that counts builds or fetches, and its last counts.
#[derive(Default)]
struct Counter {
    /// The id of the activity; `None` before it starts.
    id: Option<u64>,
    done: u64,
    total: u64,
}

impl LogReader {
    /// Parses the next `line`.
    pub fn read(&mut self, line: &str) -> Line {
        let event = line.strip_prefix("@nix ").and_then(|json| serde_json::from_str(json).ok());
        match event {
            Some(event) => self.interpret(&event),
            None => Line::Foreign(strip_ansi(line)),
        }
    }

    /// The bytes of files that Nix downloads, packed as they are.
    pub fn downloads(&self) -> TransferCount {
        self.downloads.count()
    }

    /// The bytes of store paths that Nix copies.
    pub fn copies(&self) -> TransferCount {
        self.copies.count()
    }

    fn interpret(&mut self, event: &RawEvent) -> Line {
        let id = event.id;
        self.track_transfers(event);
        let first_field = event.fields.first().and_then(Value::as_str).unwrap_or_default();
        match (event.action.as_str(), event.kind) {
            ("start", activity::BUILDS) => {
                self.builds.id = Some(id);
                Line::Other
            }
            ("start", activity::COPY_PATHS) => {
                self.fetches.id = Some(id);
                Line::Other
            }
            ("start", activity::BUILD) => {
                let machine = event.fields.get(1).and_then(Value::as_str).unwrap_or_default().to_owned();
                Line::Building { id, drv: first_field.to_owned(), machine }
            }
            ("start", activity::SUBSTITUTE) => Line::Fetching { id, path: first_field.to_owned() },
            ("start", activity::FILE_TRANSFER) if !is_file_of_cache(first_field) => {
                Line::Downloading { id, uri: first_field.to_owned() }
            }
            ("stop", _) => Line::Stopped { id },
            ("result", result::SET_EXPECTED) => Line::Transferred,
            ("result", result::BUILD_LOG_LINE) => Line::Log { id, text: strip_ansi(first_field) },
            ("result", result::PROGRESS) => self.count(event),
            ("msg", _) if event.level == 0 && event.bare_text.is_some() => {
                Line::Error(strip_ansi(&event.msg))
            }
            ("msg", _) => Line::Message { level: event.level, text: strip_ansi(&event.msg) },
            _ => Line::Other,
        }
    }

    /// Updates the bytes of downloads and copies.
    fn track_transfers(&mut self, event: &RawEvent) {
        let number = |index: usize| event.fields.get(index).and_then(Value::as_u64).unwrap_or(0);
        match (event.action.as_str(), event.kind) {
            ("start", activity::FILE_TRANSFER) => self.downloads.begin(event.id),
            ("start", activity::COPY_PATH) => self.copies.begin(event.id),
            ("result", result::SET_EXPECTED) if number(0) == activity::FILE_TRANSFER => {
                self.downloads.expect(event.id, number(1));
            }
            ("result", result::SET_EXPECTED) if number(0) == activity::COPY_PATH => {
                self.copies.expect(event.id, number(1));
            }
            ("stop", _) => {
                self.downloads.end(event.id);
                self.copies.end(event.id);
            }
            _ => {}
        }
    }

    /// Updates the counter or the transfer to which the progress `event` belongs; other progress is [`Line::Other`].
    fn count(&mut self, event: &RawEvent) -> Line {
        let number = |index: usize| event.fields.get(index).and_then(Value::as_u64).unwrap_or(0);
        if [&mut self.downloads, &mut self.copies]
            .into_iter()
            .any(|all| all.update(event.id, number(0), number(1)))
        {
            return Line::Transferred;
        }
        let counters = [&mut self.builds, &mut self.fetches];
        let Some(counter) = counters.into_iter().find(|counter| counter.id == Some(event.id)) else {
            return Line::Other;
        };
        counter.update(&event.fields);
        let done = self.builds.done.saturating_add(self.fetches.done);
        let total = self.builds.total.saturating_add(self.fetches.total);
        Line::Count { done, total: total.max(done) }
    }
}

impl Counter {
    /// Updates the counts from `fields`, which are `[done, expected, running, failed]`. Between two builds Nix 2.34
    /// counts the next build twice, so `expected` counts only while a build or a fetch runs.
    fn update(&mut self, fields: &[Value]) {
        let number = |index: usize| fields.get(index).and_then(Value::as_u64).unwrap_or(0);
        let [done, expected, running] = [number(0), number(1), number(2)];
        self.done = done;
        if self.total == 0 || running > 0 {
            self.total = expected;
        }
    }
}

/// Whether `uri` names a file of a binary cache, whose download [`Line::Fetching`] already reports.
fn is_file_of_cache(uri: &str) -> bool {
    uri.contains("/nar/") || uri.ends_with(".narinfo") || uri.ends_with("/nix-cache-info")
}

#[cfg(test)]
mod tests;
