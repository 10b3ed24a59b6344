//! The lines of `--log-format internal-json`: what a running build is doing.

use serde::Deserialize;
use serde_json::Value;

/// Numbers of activities and results, as Nix's `logging.hh` has them.
mod code {
    pub const BUILD: u64 = 105;
    pub const COPY_PATH: u64 = 100;
    pub const BUILDS: u64 = 104;
    pub const BUILD_LOG_LINE: u64 = 101;
    pub const PROGRESS: u64 = 105;
}

/// What one line says that is of interest here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A build or a copy begins; its short name.
    Started(String),
    /// One line of a builder's log.
    Log(String),
    /// How many derivations are built, and how many there are.
    Builds {
        done: u64,
        expected: u64,
    },
    /// A message; level 0 is an error.
    Message {
        level: u64,
        text: String,
    },
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
    #[serde(default)]
    fields: Vec<Value>,
}

/// Reads lines in order; it remembers which activity counts the builds.
#[derive(Default)]
pub struct Reader {
    builds: Option<u64>,
    most_expected: u64,
}

impl Reader {
    /// What `line` says. A line that is no event is a message of its own.
    pub fn read(&mut self, line: &str) -> Line {
        let raw = line.strip_prefix("@nix ").and_then(|json| serde_json::from_str::<Raw>(json).ok());
        match raw {
            Some(raw) => self.event(&raw),
            None => Line::Message { level: 3, text: super::error::strip_ansi(line) },
        }
    }

    fn event(&mut self, raw: &Raw) -> Line {
        match (raw.action.as_str(), raw.kind) {
            ("start", code::BUILDS) => {
                self.builds = Some(raw.id);
                Line::Other
            }
            ("start", code::BUILD | code::COPY_PATH) => Line::Started(short_name(&text(&raw.fields, 0))),
            ("result", code::BUILD_LOG_LINE) => Line::Log(super::error::strip_ansi(&text(&raw.fields, 0))),
            ("result", code::PROGRESS) if self.builds == Some(raw.id) => self.progress(&raw.fields),
            ("msg", _) => Line::Message { level: raw.level, text: super::error::strip_ansi(&raw.msg) },
            _ => Line::Other,
        }
    }

    /// `expected` wobbles from 2.34 on, so its maximum is taken.
    fn progress(&mut self, fields: &[Value]) -> Line {
        let number = |at: usize| fields.get(at).and_then(Value::as_u64).unwrap_or(0);
        self.most_expected = self.most_expected.max(number(1));
        Line::Builds { done: number(0), expected: self.most_expected }
    }
}

fn text(fields: &[Value], at: usize) -> String {
    fields.get(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `/nix/store/HASH-name.drv` as `name`.
fn short_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split_once('-').map_or(file, |(_, name)| name);
    name.trim_end_matches(".drv").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_line_by_line() {
        let mut reader = Reader::default();
        for (line, expected) in [
            (r#"@nix {"action":"start","id":1,"level":3,"type":104,"text":""}"#, Line::Other),
            (
                r#"@nix {"action":"start","id":2,"level":3,"type":105,"text":"","fields":["/nix/store/abc-demo.drv","",1,1]}"#,
                Line::Started("demo".into()),
            ),
            (
                r#"@nix {"action":"result","id":2,"type":101,"fields":["\u001b[1mhello\u001b[0m"]}"#,
                Line::Log("hello".into()),
            ),
            (
                r#"@nix {"action":"result","id":1,"type":105,"fields":[1,3,1,0]}"#,
                Line::Builds { done: 1, expected: 3 },
            ),
            (
                r#"@nix {"action":"result","id":1,"type":105,"fields":[2,2,1,0]}"#,
                Line::Builds { done: 2, expected: 3 },
            ),
            (
                r#"@nix {"action":"msg","level":0,"msg":"error: boom"}"#,
                Line::Message { level: 0, text: "error: boom".into() },
            ),
            ("warning: odd", Line::Message { level: 3, text: "warning: odd".into() }),
        ] {
            assert_eq!(reader.read(line), expected, "{line}");
        }
    }
}
