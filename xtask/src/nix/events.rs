//! Parses the log of Nix in the format `internal-json`: one event a line.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::strip_ansi;

/// The numbers of activities, which events with the action `start` have, from Nix's `logging.hh`.
mod activity {
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
}

/// A line of the log, as far as this tool uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The build of the derivation `drv` begins; its log lines have the same `id`.
    Building { id: u64, drv: String },
    /// Nix fetches a store path from a binary cache.
    Fetching(String),
    /// Nix downloads a file that is no part of a store path, such as the source of an input.
    Downloading(String),
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

/// Parses the lines of a log in order, and remembers which activities count the builds and the fetches.
#[derive(Default)]
pub struct LogReader {
    builds: Counter,
    fetches: Counter,
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

    fn interpret(&mut self, event: &RawEvent) -> Line {
        let id = event.id;
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
            ("start", activity::BUILD) => Line::Building { id, drv: first_field.to_owned() },
            ("start", activity::SUBSTITUTE) => Line::Fetching(first_field.to_owned()),
            ("start", activity::FILE_TRANSFER) if !is_file_of_cache(first_field) => {
                Line::Downloading(first_field.to_owned())
            }
            ("result", result::BUILD_LOG_LINE) => Line::Log { id, text: strip_ansi(first_field) },
            ("result", result::PROGRESS) => self.count(event),
            ("msg", _) if event.level == 0 && event.bare_text.is_some() => {
                Line::Error(strip_ansi(&event.msg))
            }
            ("msg", _) => Line::Message { level: event.level, text: strip_ansi(&event.msg) },
            _ => Line::Other,
        }
    }

    /// Updates the counter to which the progress `event` belongs; other progress is [`Line::Other`].
    fn count(&mut self, event: &RawEvent) -> Line {
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
mod tests {
    use super::*;
    use crate::nix::Programs;

    const BUILDS: &str = r#"@nix {"action":"start","id":1,"level":3,"type":104,"text":""}"#;
    const COPIES: &str = r#"@nix {"action":"start","id":3,"level":3,"type":103,"text":""}"#;
    const BUILD: &str =
        r#"@nix {"action":"start","id":2,"type":105,"fields":["/nix/store/abc-demo.drv","",1,1]}"#;

    #[test]
    fn events_of_a_build_are_parsed() {
        let mut reader = LogReader::default();
        assert_eq!([BUILDS, COPIES].map(|line| reader.read(line)), [Line::Other, Line::Other]);
        assert_eq!(reader.read(BUILD), Line::Building { id: 2, drv: "/nix/store/abc-demo.drv".into() });
        for (line, expected) in [
            (
                r#"{"action":"start","id":7,"type":108,"fields":["/nix/store/b-x","https://cache.nixos.org"]}"#,
                Line::Fetching("/nix/store/b-x".into()),
            ),
            (r#"{"action":"start","id":8,"type":101,"fields":["https://c/nar/1.nar.xz"]}"#, Line::Other),
            (
                r#"{"action":"start","id":8,"type":101,"fields":["https://h/nixpkgs.tar.gz"]}"#,
                Line::Downloading("https://h/nixpkgs.tar.gz".into()),
            ),
            (
                r#"{"action":"result","id":2,"type":101,"fields":["\u001b[1mhello\u001b[0m"]}"#,
                Line::Log { id: 2, text: "hello".into() },
            ),
            (
                r#"{"action":"msg","level":0,"msg":"error: boom"}"#,
                Line::Message { level: 0, text: "error: boom".into() },
            ),
            (
                r#"{"action":"msg","column":null,"level":0,"msg":"error: boom","raw_msg":"boom"}"#,
                Line::Error("error: boom".into()),
            ),
        ] {
            assert_eq!(reader.read(&format!("@nix {line}")), expected, "{line}");
        }
        assert_eq!(reader.read("warning: odd"), Line::Foreign("warning: odd".into()));
    }

    #[test]
    fn builds_and_fetches_are_counted_together() {
        let mut reader = LogReader::default();
        for line in [BUILDS, COPIES, BUILD] {
            reader.read(line);
        }
        for (line, expected) in [
            (
                r#"{"action":"result","id":1,"type":105,"fields":[1,3,1,0]}"#,
                Line::Count { done: 1, total: 3 },
            ),
            // Nothing runs: the next build is counted twice.
            (
                r#"{"action":"result","id":1,"type":105,"fields":[2,4,0,0]}"#,
                Line::Count { done: 2, total: 3 },
            ),
            (
                r#"{"action":"result","id":3,"type":105,"fields":[5,9,1,0]}"#,
                Line::Count { done: 7, total: 12 },
            ),
            (r#"{"action":"result","id":9,"type":105,"fields":[1,1,0,0]}"#, Line::Other),
        ] {
            assert_eq!(reader.read(&format!("@nix {line}")), expected, "{line}");
        }
    }

    #[test]
    fn counts_that_overflow_are_limited() {
        let mut reader = LogReader::default();
        let most = u64::MAX;
        for line in [
            r#"@nix {"action":"start","id":1,"type":104}"#.to_owned(),
            r#"@nix {"action":"start","id":3,"type":103}"#.to_owned(),
            format!(r#"@nix {{"action":"result","id":1,"type":105,"fields":[{most},{most},1,0]}}"#),
        ] {
            reader.read(&line);
        }
        let line = format!(r#"@nix {{"action":"result","id":3,"type":105,"fields":[{most},{most},1,0]}}"#);
        assert_eq!(reader.read(&line), Line::Count { done: most, total: most });
    }

    #[test]
    fn fuzz() {
        let build = [
            BUILDS,
            COPIES,
            BUILD,
            r#"@nix {"action":"result","id":2,"type":101,"fields":["\u001b[1mhello\u001b[0m"]}"#,
            r#"@nix {"action":"result","id":1,"type":105,"fields":[1,3,1,0]}"#,
            r#"@nix {"action":"result","id":3,"type":105,"fields":[5,9,1,0]}"#,
            r#"@nix {"action":"msg","level":0,"msg":"error: builder for '/nix/store/abc-demo.drv' failed"}"#,
            "warning: odd",
        ];
        crate::base::fuzz::check_text(&[&build.join("\n")], |text| {
            let mut reader = LogReader::default();
            let mut monitor = super::super::build_monitor::BuildMonitor::new(&crate::base::Silent);
            for line in text.lines() {
                reader.read(line);
                monitor.process_line(line);
            }
            monitor.into_error("F#x", &Programs::default()).to_string()
        });
    }
}
