//! Parses the log of Nix in the format `internal-json`: one event a line.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::error::strip_ansi;

/// The numbers of activities (`start`) and of results, from Nix's `logging.hh`.
mod code {
    pub const FILE_TRANSFER: u64 = 101;
    pub const COPY_PATHS: u64 = 103;
    pub const BUILDS: u64 = 104;
    pub const BUILD: u64 = 105;
    pub const SUBSTITUTE: u64 = 108;

    pub const BUILD_LOG_LINE: u64 = 101;
    pub const PROGRESS: u64 = 105;
}

/// A line of the log, as far as this tool uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The build of the derivation `drv` begins; its log lines have the same `id`.
    Building {
        id: u64,
        drv: String,
    },
    /// Nix fetches a store path from a binary cache.
    Fetching(String),
    /// Nix downloads a file that is no part of a store path, such as the source of an input.
    Downloading(String),
    /// One line of a builder's log.
    Log {
        id: u64,
        text: String,
    },
    /// How many store paths are built or fetched, and how many there will be.
    Count {
        done: u64,
        total: u64,
    },
    /// An error of Nix itself: only these have the field `raw_msg`, which messages of a builder or of a trace lack.
    Error(String),
    /// A message from anybody; level 0 is an error, level 1 a warning.
    Message {
        level: u64,
        text: String,
    },
    /// A line that is no event of Nix, such as one of ssh.
    Foreign(String),
    Other,
}

#[derive(Deserialize)]
struct Raw {
    action: String,
    #[serde(default)]
    id: u64,
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

/// Parses lines in order, and remembers which activities count the builds and the fetches.
#[derive(Default)]
pub struct Reader {
    builds: Counter,
    fetches: Counter,
}

/// The activity that counts builds or fetches, and its last counts.
#[derive(Default)]
struct Counter {
    id: Option<u64>,
    done: u64,
    total: u64,
}

impl Reader {
    /// Parses `line`.
    pub fn read(&mut self, line: &str) -> Line {
        let raw = line.strip_prefix("@nix ").and_then(|json| serde_json::from_str::<Raw>(json).ok());
        match raw {
            Some(raw) => self.event(&raw),
            None => Line::Foreign(strip_ansi(line)),
        }
    }

    fn event(&mut self, raw: &Raw) -> Line {
        let field = || raw.fields.first().and_then(Value::as_str).unwrap_or_default().to_owned();
        match (raw.action.as_str(), raw.kind) {
            ("start", code::BUILDS) => self.builds.begin(raw.id),
            ("start", code::COPY_PATHS) => self.fetches.begin(raw.id),
            ("start", code::BUILD) => Line::Building { id: raw.id, drv: field() },
            ("start", code::SUBSTITUTE) => Line::Fetching(field()),
            ("start", code::FILE_TRANSFER) if !belongs_to_cache(&field()) => Line::Downloading(field()),
            ("result", code::BUILD_LOG_LINE) => Line::Log { id: raw.id, text: strip_ansi(&field()) },
            ("result", code::PROGRESS) => self.progress(raw),
            ("msg", _) if raw.level == 0 && raw.bare_text.is_some() => Line::Error(strip_ansi(&raw.msg)),
            ("msg", _) => Line::Message { level: raw.level, text: strip_ansi(&raw.msg) },
            _ => Line::Other,
        }
    }

    fn progress(&mut self, raw: &Raw) -> Line {
        let counted = self.builds.update(raw) || self.fetches.update(raw);
        let done = self.builds.done.saturating_add(self.fetches.done);
        let total = self.builds.total.saturating_add(self.fetches.total);
        if counted { Line::Count { done, total: total.max(done) } } else { Line::Other }
    }
}

impl Counter {
    fn begin(&mut self, id: u64) -> Line {
        self.id = Some(id);
        Line::Other
    }

    /// Updates the counts from the fields `[done, expected, running, failed]`; returns whether the event is of this
    /// counter. Between two builds Nix 2.34 counts the next one twice, so `expected` counts only while something runs.
    fn update(&mut self, raw: &Raw) -> bool {
        let number = |at: usize| raw.fields.get(at).and_then(Value::as_u64).unwrap_or(0);
        if self.id != Some(raw.id) {
            return false;
        }
        self.done = number(0);
        if self.total == 0 || number(2) > 0 {
            self.total = number(1);
        }
        true
    }
}

/// Whether `uri` is a file of a binary cache, whose download [`Line::Fetching`] already reports.
fn belongs_to_cache(uri: &str) -> bool {
    uri.contains("/nar/") || uri.ends_with(".narinfo") || uri.ends_with("/nix-cache-info")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILDS: &str = r#"@nix {"action":"start","id":1,"level":3,"type":104,"text":""}"#;
    const COPIES: &str = r#"@nix {"action":"start","id":3,"level":3,"type":103,"text":""}"#;
    const BUILD: &str =
        r#"@nix {"action":"start","id":2,"type":105,"fields":["/nix/store/abc-demo.drv","",1,1]}"#;

    #[test]
    fn events_of_a_build() {
        let mut reader = Reader::default();
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
        let odd = Line::Foreign("warning: odd".into());
        assert_eq!(reader.read("warning: odd"), odd);
    }

    #[test]
    fn builds_and_copies_are_counted_together() {
        let mut reader = Reader::default();
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
    fn counts_that_do_not_add_up() {
        let mut reader = Reader::default();
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
            let mut reader = Reader::default();
            let mut monitor = super::super::build_monitor::BuildMonitor::new(&crate::base::Silent);
            for line in text.lines() {
                reader.read(line);
                monitor.line(line);
            }
            monitor.into_error("F#x", "nix log").to_string()
        });
    }
}
