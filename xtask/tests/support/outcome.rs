//! The outcome of a run, and assertions about it that can be chained.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

/// The outcome of a run of the binary.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code; -1 for a run that was ended by a signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The outcome of a process with `output`.
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The result of a run with `--json`: the one object on stdout, without the version and the next step.
    #[track_caller]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_str::<Value>(&self.stdout);
        let mut result = parsed.unwrap_or_else(|error| panic!("{error} in {self:?}"));
        assert_eq!(result.get("error").is_some(), self.code != 0, "{result}");
        let fields = result.as_object_mut().expect("an object");
        assert_eq!(fields.remove("schema"), Some(1.into()), "{self:?}");
        let next = fields.remove("next").expect("the next step, or null");
        assert!(next.is_null() || self.code == 0, "{next}");
        result
    }

    /// The events of a run with `--json`, without what every line has: the version and the time.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let parse = |line| {
            let parsed = serde_json::from_str::<Value>(line);
            let mut event = parsed.unwrap_or_else(|error| panic!("{error} in {line}"));
            let fields = event.as_object_mut().expect(line);
            assert_eq!(fields.remove("schema"), Some(1.into()), "{line}");
            let time = fields.remove("time");
            assert!(time.is_some_and(|time| time.as_str().is_some_and(|time| time.ends_with('Z'))), "{line}");
            event
        };
        self.stderr.lines().map(parse).collect()
    }

    /// The error of a run with `--json` that failed: that of its result, which is also its last event.
    #[track_caller]
    pub fn json_error(&self) -> Value {
        let error = self.json()["error"].take();
        let mut event = self.events().pop().expect("an event");
        let fields = event.as_object_mut().expect("an object");
        fields.retain(|name, _| !["event", "host", "device"].contains(&name.as_str()));
        assert_eq!(event, error);
        assert_eq!(error["code"], self.code);
        error
    }

    /// The text by which a flash identifies the image file that the shown plan names, computed without the tool's own
    /// code.
    #[track_caller]
    pub fn file_sum(&self) -> String {
        let file = self.stderr.lines().find_map(|line| line.strip_prefix("image   ")).expect("a plan");
        super::file_sum(Path::new(file))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts all of stdout.
    #[track_caller]
    pub fn assert_stdout(&self, expected: impl AsRef<str>) -> &Self {
        assert_eq!(self.stdout, expected.as_ref(), "\nexit code {}, stderr:\n{}", self.code, self.stderr);
        self
    }

    /// Asserts all of stderr but the line that names the log of a failed run, which `cli::logs` asserts.
    #[track_caller]
    pub fn assert_stderr(&self, expected: impl AsRef<str>) -> &Self {
        let lines = self.stderr.split_inclusive('\n');
        let stderr = lines.filter(|line| !line.starts_with("log: ")).collect::<String>();
        assert_eq!(stderr, expected.as_ref(), "\nexit code {}, stdout:\n{}", self.code, self.stdout);
        self
    }

    /// Asserts that stdout contains `text`.
    #[track_caller]
    pub fn assert_stdout_contains(&self, text: impl AsRef<str>) -> &Self {
        let text = text.as_ref();
        assert!(
            self.stdout.contains(text),
            "no {text:?} in stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Asserts that stderr contains `text`.
    #[track_caller]
    pub fn assert_stderr_contains(&self, text: impl AsRef<str>) -> &Self {
        let text = text.as_ref();
        assert!(
            self.stderr.contains(text),
            "no {text:?} in stderr:\n{}\nstdout:\n{}",
            self.stderr,
            self.stdout
        );
        self
    }
}
