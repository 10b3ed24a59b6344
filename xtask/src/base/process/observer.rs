//! Reports the children of a launcher: their argument vectors, the lines of their stderr, and how they end.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::{Launcher, Output};
use crate::base::{Event, Reporter, redact};

/// The most lines that are reported of a stderr that was read as a whole: the last ones.
const MAX_LINES: usize = 200;

/// The number of the last child.
static LAST_CHILD: AtomicU64 = AtomicU64::new(0);

/// The reporter of children; none by default.
#[derive(Clone, Default)]
pub(super) struct Observer(Option<Arc<dyn Reporter>>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observer({})", self.0.is_some())
    }
}

impl Launcher {
    /// The same launcher, which reports its children to `reporter`.
    #[must_use]
    pub fn reporting_to(mut self, reporter: Arc<dyn Reporter>) -> Self {
        self.observer = Observer(Some(reporter));
        self
    }

    /// The same launcher with another reporter, if this one reports its children.
    #[must_use]
    pub fn with_reporter(self, reporter: &Arc<dyn Reporter>) -> Self {
        if self.observer.0.is_some() { self.reporting_to(reporter.clone()) } else { self }
    }

    /// Reports the start of `program` with `args`.
    pub(super) fn observe<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, args: &[S]) -> Child {
        let words = std::iter::once(program.as_ref()).chain(args.iter().map(AsRef::as_ref));
        self.observe_words(words)
    }

    /// Reports the start of a pipeline.
    pub(super) fn observe_pipeline(&self, pipeline: &[Vec<OsString>]) -> Child {
        let bar = OsStr::new("|");
        let words = pipeline.iter().map(|words| words.iter().map(OsString::as_os_str).collect::<Vec<_>>());
        let words = words.collect::<Vec<_>>().join(&bar);
        self.observe_words(words.into_iter())
    }

    fn observe_words<'a>(&self, words: impl Iterator<Item = &'a OsStr>) -> Child {
        let number = LAST_CHILD.fetch_add(1, Ordering::Relaxed) + 1;
        let child =
            Child { observer: self.observer.clone(), number, begin: Instant::now(), has_ended: false };
        child.report(|| {
            let words = words.map(|word| word.to_string_lossy().into_owned());
            Event::ChildStarted { child: number, argv: redact::arguments(words) }
        });
        child
    }
}

/// A running child whose launcher may report it. Dropping this value reports an end without an exit code.
#[derive(Debug)]
pub(super) struct Child {
    observer: Observer,
    number: u64,
    begin: Instant,
    has_ended: bool,
}

impl Child {
    fn report(&self, event: impl FnOnce() -> Event) {
        if let Some(reporter) = &self.observer.0 {
            reporter.report(&event());
        }
    }

    /// Reports a line of stderr. Events of Nix are left out: who reads them reports what they mean.
    pub fn line(&self, text: &str) {
        if !text.starts_with("@nix ") {
            let text = || redact::without_passwords(text);
            self.report(|| Event::ChildLine { child: self.number, text: text() });
        }
    }

    /// Reports the last lines of a stderr.
    pub fn lines(&self, text: &str) {
        if self.observer.0.is_none() {
            return;
        }
        let lines = text.lines().collect::<Vec<_>>();
        lines[lines.len().saturating_sub(MAX_LINES)..].iter().for_each(|line| self.line(line));
    }

    /// Reports the end with `code`.
    pub fn end(mut self, code: i32) {
        self.report_end(Some(code));
    }

    /// Reports the end of a child whose whole output was read, and returns the `result`.
    pub fn end_with_output(self, result: Result<Output>) -> Result<Output> {
        if let Ok(output) = &result {
            self.lines(&output.stderr);
            self.end(output.code);
        }
        result
    }

    /// Reports the end with `exit_code`, unless the end is reported already.
    pub fn report_end(&mut self, exit_code: Option<i32>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let seconds = self.begin.elapsed().as_secs_f64();
        self.report(|| Event::ChildEnded { child: self.number, exit_code, seconds });
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.report_end(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Recorder;

    /// An event about a child in words.
    fn words(event: Event) -> String {
        match event {
            Event::ChildStarted { argv, .. } => format!("start {}", argv.join(" ")),
            Event::ChildLine { text, .. } => format!("line {text}"),
            Event::ChildEnded { exit_code, .. } => format!("end {exit_code:?}"),
            other => format!("{other:?}"),
        }
    }

    /// The events of the children that `work` starts.
    fn events(work: impl FnOnce(&Launcher)) -> Vec<String> {
        let recorder = Arc::new(Recorder::default());
        work(&Launcher::new("/").reporting_to(recorder.clone()));
        recorder.events().into_iter().map(words).collect()
    }

    #[test]
    fn each_way_to_run_a_child_reports_it() {
        const SCRIPT: &str = "echo out; echo why >&2; exit 3";
        let args = ["-c", SCRIPT];
        let expected = [&format!("start sh -c {SCRIPT}"), "line why", "end Some(3)"];
        assert_eq!(events(|sh| drop(sh.capture("sh", &args).unwrap())), expected);
        assert_eq!(events(|sh| drop(sh.read("sh", &args).unwrap_err())), expected);
        assert_eq!(events(|sh| drop(sh.stream("sh", &args, |_| ()).unwrap())), expected);
        let read = |sh: &Launcher| drop(sh.read_stdout("sh", &args, |_| Ok(())).unwrap());
        assert_eq!(events(read), expected);
        let all = events(|sh| assert_eq!(sh.stream_all("sh", &args, |_| ()).unwrap(), 3));
        assert_eq!(all, [&format!("start sh -c {SCRIPT}"), "line out", "line why", "end Some(3)"]);
        let cat: (&str, &[&str]) = ("cat", &[]);
        let piped = events(|sh| drop(sh.pipe(("sh", &args), cat).unwrap_err()));
        assert_eq!(piped, [&format!("start sh -c {SCRIPT} | cat"), "line why", "end Some(3)"]);
    }

    #[test]
    fn secrets_and_events_of_nix_are_not_reported() {
        let script = "echo '@nix {}' >&2; echo https://me:pw@host >&2";
        let args = ["-c", script, "--token", "abc"];
        let found = events(|sh| drop(sh.stream("sh", &args, |_| ()).unwrap()));
        assert!(found[0].ends_with("--token …") && !found[0].contains("pw"), "{found:?}");
        assert_eq!(found[1..], ["line https://…@host", "end Some(0)"]);
    }

    #[test]
    fn a_child_that_cannot_be_started_ends_without_a_code() {
        let args: [&str; 0] = [];
        let found = events(|launcher| drop(launcher.capture("/no/such/program", &args).unwrap_err()));
        assert_eq!(found, ["start /no/such/program", "end None"]);
    }
}
