//! The reporters for a terminal (progress bars), for logs and pipes (plain lines), and for programs (JSON lines).

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::chunk_strip::ChunkStrip;
use super::command_line::{self, command_line};
use super::filter::Filter;
use super::json::JsonLines;
use super::log_reporter::LogReporter;
use super::open_phases::OpenPhases;
use super::phase_bar::PhaseBar;
use super::progress_line::ProgressReporter;
use super::style::{Role, Stream};
use super::subject_board::SubjectBoard;
use super::subject_lines;
use crate::base::run_log::RunLog;
use crate::base::{Bytes, Event, Reporter, Subject, Verbosity, escape};

/// How often the bar of the running phase is drawn.
const TICK: Duration = Duration::from_millis(120);

/// The reporter of this run: JSON lines with `--json`, bars on a terminal, plain lines elsewhere. It shows what
/// `verbosity` and `build_logs` want, writes all events to `log`, and answers SIGUSR1.
pub fn reporter(json: bool, verbosity: Verbosity, build_logs: bool, log: Arc<RunLog>) -> Arc<dyn Reporter> {
    let all: Arc<dyn Reporter> = if json {
        Arc::new(JsonLines)
    } else if Stream::Stderr.is_terminal() {
        Arc::new(Bars::new())
    } else {
        Arc::new(PlainLines)
    };
    let shown = Arc::new(Filter { verbosity, build_logs, is_json: json, reporter: all.clone() });
    Arc::new(LogReporter::new(log, ProgressReporter::wrap(shown, all)))
}

/// Prints events as plain lines, without progress: for logs and pipes.
pub struct PlainLines;

impl Reporter for PlainLines {
    fn report(&self, event: &Event) {
        if let Some(line) = shown_line(None, event) {
            print_line(&line);
        }
    }

    fn report_for(&self, subject: &Subject, event: &Event) {
        if let Some(line) = shown_line(Some(subject), event) {
            print_line(&line);
        }
    }
}

/// Shows a bar for the running phase, the innermost of several; other events scroll above it.
pub struct Bars {
    running: Arc<Mutex<OpenPhases>>,
    board: SubjectBoard,
}

impl Bars {
    /// Starts the clock of the bars, which ends with this value.
    pub fn new() -> Self {
        let running = Arc::new(Mutex::new(OpenPhases::default()));
        let weak = Arc::downgrade(&running);
        std::thread::spawn(move || while tick(&weak) {});
        Self { running, board: SubjectBoard::default() }
    }
}

/// Waits, and draws the bar of the running phase again. Returns whether the bars still exist.
fn tick(bars: &Weak<Mutex<OpenPhases>>) -> bool {
    std::thread::sleep(TICK);
    let Some(running) = bars.upgrade() else { return false };
    if let Some(innermost) = running.lock().unwrap_or_else(PoisonError::into_inner).innermost() {
        innermost.draw();
    }
    true
}

impl Drop for Bars {
    /// Clears the bar of a phase that an error ended.
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).end_all();
    }
}

impl Reporter for Bars {
    fn report(&self, event: &Event) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase { name, total, is_in_bytes } => return running.begin(name, *total, *is_in_bytes),
            Event::Progress { .. }
            | Event::Step { .. }
            | Event::Ahead { .. }
            | Event::TaskStarted { .. }
            | Event::TaskEnded { .. }
            | Event::Output { .. } => return running.show(event),
            Event::Done { name, .. } | Event::Found { name, .. } | Event::PhaseEnded { name: Some(name) } => {
                running.end(name);
            }
            Event::PhaseEnded { name: None } | Event::Failed(_) => running.end_all(),
            _ => {}
        }
        if let Some(line) = shown_line(None, event) {
            print_above(running.innermost(), &line);
        }
    }

    fn report_for(&self, subject: &Subject, event: &Event) {
        let line = shown_line(Some(subject), event);
        let show = || self.board.report(subject, event, line.as_deref());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.innermost().filter(|_| line.is_some()) {
            Some(running) => running.print_above(show),
            None => show(),
        }
    }
}

/// Prints `line` above the bar of the running phase, if there is one.
fn print_above(running: Option<&mut PhaseBar>, line: &str) {
    match running {
        Some(running) => running.print_above(|| print_line(line)),
        None => print_line(line),
    }
}

/// The line of `event` as stderr shows it, behind the label of the `subject` that it is of; `None` as in [`line_of`].
fn shown_line(subject: Option<&Subject>, event: &Event) -> Option<String> {
    // The maps of many cards say less than their table at the end.
    if matches!(event, Event::Map { .. }) && subject.is_some_and(|subject| subject.device().is_some()) {
        return None;
    }
    let text = line_of(event)?;
    let shown = match (subject, event) {
        (None, Event::Verdict { tone, .. }) => super::verdict_lines(&text, *tone, Stream::Stderr),
        (None, _) => super::lay_out(&text, Stream::Stderr),
        (Some(subject), Event::Verdict { tone, .. }) => subject_lines::verdict(subject, &text, *tone),
        (Some(subject), _) => subject_lines::lay_out(subject, &text),
    };
    let is_dim = matches!(
        event,
        Event::Log { .. } | Event::Tail { .. } | Event::ChildStarted { .. } | Event::LogFile { .. }
    );
    Some(if is_dim { Stream::Stderr.paint(Role::Dim, &shown) } else { shown })
}

/// Prints `line` on stderr. A closed stderr is not an error.
pub(super) fn print_line(line: &str) {
    super::write_story(line);
}

/// The plain text of an event, escaped; `None` for events that begin, end or advance a phase without a result, and for
/// the failure of the command, which [`super::print_error`] prints.
pub(super) fn line_of(event: &Event) -> Option<String> {
    match event {
        Event::Note { text } | Event::Verdict { text, .. } | Event::Plan { text, .. } => {
            Some(escape::lines(text))
        }
        Event::Warning { text, hint } => {
            let hint = hint.as_ref().map(|hint| format!("\nhint: {}", escape::lines(hint)));
            Some(format!("warning: {}{}", escape::lines(text), hint.unwrap_or_default()))
        }
        Event::Log { text } => Some(format!("  | {}", escape::log(text))),
        Event::Step { text } => Some(format!("{:>10}  {}", "", escape::line(text))),
        Event::Found { name, text } => Some(format!("{:>10}  {}", escape::line(name), escape::line(text))),
        Event::Map { runs } => Some(format!("{:>10}  {}", "card", ChunkStrip::for_stderr(runs))),
        Event::Done { name, amount, is_in_bytes, seconds } => {
            Some(done_line(&escape::line(name), *amount, *is_in_bytes, *seconds))
        }
        Event::TaskStarted { text, is_emulated, .. } => {
            let mark = if *is_emulated { " (emulated)" } else { "" };
            Some(format!("{:>10}  {}{mark}", "", escape::line(text)))
        }
        Event::Tail { lines } => {
            let lines = lines.iter().map(|line| format!("  | {}", escape::log(line)));
            Some(lines.collect::<Vec<_>>().join("\n"))
        }
        Event::ChildStarted { argv, .. } => {
            Some(format!("  $ {}", escape::line(&command_line(argv, command_line::SHOWN))))
        }
        Event::LogFile { path } => Some(format!("log: {}", escape::line(&path.display().to_string()))),
        _ => None,
    }
}

/// The line of a phase that has ended: its `amount` in bytes if `is_in_bytes` is set, else in steps.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people"
)]
fn done_line(name: &str, amount: u64, is_in_bytes: bool, seconds: f64) -> String {
    match (is_in_bytes, amount) {
        (false, 0) => format!("{name:>10}  nothing to do"),
        (false, 1) => format!("{name:>10}  1 step in {seconds:.1} s"),
        (false, _) => format!("{name:>10}  {amount} steps in {seconds:.1} s"),
        (true, _) => {
            let rate = (amount as f64 / seconds.max(0.001)) as u64;
            format!("{name:>10}  {} in {seconds:.1} s ({}/s)", Bytes(amount), Bytes(rate))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_done_phase_and_a_warning_have_lines_and_progress_has_none() {
        let done = Event::Done { name: "write".into(), amount: 64 << 20, is_in_bytes: true, seconds: 2.0 };
        assert_eq!(line_of(&done).unwrap(), "     write  64.0 MiB in 2.0 s (32.0 MiB/s)");
        assert_eq!(line_of(&Event::warning("hot")).unwrap(), "warning: hot");
        assert_eq!(line_of(&Event::Progress { done: 1, total: None, detail: None }), None);
    }
}
