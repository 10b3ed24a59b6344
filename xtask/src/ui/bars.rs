//! The reporters for a terminal (progress bars), for logs and pipes (plain lines), and for programs (JSON lines).

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::charset::Charset;
use super::chunk_strip::ChunkStrip;
use super::command_line::{self, command_line};
use super::filter::Filter;
use super::json::JsonLines;
use super::layout::{self, Amount, Layout};
use super::log_reporter::LogReporter;
use super::message;
use super::multi_progress::HostProgress;
use super::progress_line::ProgressReporter;
use super::style::{Role, Stream};
use super::task_board::TaskBoard;
use crate::base::run_log::RunLog;
use crate::base::{Bytes, Event, HostName, Reporter, Verbosity, escape};

/// The reporter of this run: JSON lines with `--json`, bars on a terminal, plain lines elsewhere. It shows what
/// `verbosity` and `build_logs` want, writes all events to `log`, and answers SIGUSR1.
pub fn reporter(json: bool, verbosity: Verbosity, build_logs: bool, log: Arc<RunLog>) -> Arc<dyn Reporter> {
    let all: Arc<dyn Reporter> = if json {
        Arc::new(JsonLines)
    } else if Stream::Stderr.is_terminal() {
        Arc::new(Bars::default())
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

    fn report_for(&self, host: &HostName, event: &Event) {
        if let Some(line) = shown_line(Some(host), event) {
            print_line(&line);
        }
    }
}

/// Shows a bar for the running phase; other events scroll above it.
#[derive(Default)]
pub struct Bars {
    running: Mutex<Option<PhaseBar>>,
    hosts: HostProgress,
}

/// The columns before the message of a phase of steps, whose bar has the shortest parts.
const COLUMNS_BEFORE: usize = 28;

/// The bar of the running phase, laid out for a terminal of `width` columns.
pub(super) struct PhaseBar {
    pub(super) bar: ProgressBar,
    /// The lines of the bar and of the tasks below it.
    display: MultiProgress,
    tasks: TaskBoard,
    name: String,
    amount: Amount,
    width: u16,
}

impl Drop for Bars {
    /// Clears the bar of a phase that an error ended.
    fn drop(&mut self) {
        if let Some(running) = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            running.clear();
        }
    }
}

impl Reporter for Bars {
    fn report(&self, event: &Event) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase { name, total, is_in_bytes } => {
                if let Some(earlier) = running.take() {
                    earlier.clear();
                }
                *running = Some(PhaseBar::new(name, *total, *is_in_bytes));
            }
            Event::Progress { done, total, detail } => {
                if let Some(running) = running.as_mut() {
                    running.advance(*done, *total, detail.as_deref());
                }
            }
            Event::Step { text } => {
                if let Some(running) = running.as_ref() {
                    running.show_step(text);
                }
            }
            Event::Done { .. } | Event::Found { .. } | Event::PhaseEnded | Event::Failed(_) => {
                if let Some(running) = running.take() {
                    running.clear();
                }
                if let Some(line) = shown_line(None, event) {
                    print_line(&line);
                }
            }
            Event::TaskStarted { .. } | Event::TaskEnded { .. } | Event::Output { .. } => {
                if let Some(running) = running.as_mut() {
                    running.show_task(event);
                }
            }
            _ => {
                if let Some(line) = shown_line(None, event) {
                    print_above(running.as_ref(), &line);
                }
            }
        }
    }

    fn report_for(&self, host: &HostName, event: &Event) {
        self.hosts.report(host, event, shown_line(Some(host), event).as_deref());
    }
}

impl PhaseBar {
    /// Shows the bar of the phase `name`. `total` is in bytes if `is_in_bytes` is set, else in steps; `None`: unknown.
    pub(super) fn new(name: &str, total: Option<u64>, is_in_bytes: bool) -> Self {
        let amount = match (is_in_bytes, total.is_some()) {
            (true, true) => Amount::Bytes,
            (true, false) => Amount::BytesOfUnknownTotal,
            (false, _) => Amount::Steps,
        };
        let display = MultiProgress::new();
        let bar = display.add(ProgressBar::new(total.unwrap_or(0)));
        let name = escape::line(name);
        let phase_bar =
            Self { bar, display, tasks: TaskBoard::default(), name, amount, width: layout::width() };
        phase_bar.lay_out();
        phase_bar.bar.enable_steady_tick(Duration::from_millis(120));
        phase_bar
    }

    /// Shows the event of a task, or the last line of a child without tasks.
    fn show_task(&mut self, event: &Event) {
        match event {
            Event::Output { task: None, text, .. } => self.show_step(text),
            event => self.tasks.report(&self.display, event),
        }
    }

    /// Removes the bar and the lines of tasks from the terminal.
    fn clear(mut self) {
        self.tasks.clear();
        self.bar.finish_and_clear();
    }

    /// Fits the parts of the bar to its width.
    fn lay_out(&self) {
        let Layout { prefix, template } = Layout::new(&self.name, self.amount, self.width);
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar.set_style(Charset::of_locale().apply_to(style.with_key("count", write_count)));
        self.bar.set_prefix(prefix);
    }

    pub(super) fn show_step(&self, text: &str) {
        self.bar.set_message(message::fit(text, COLUMNS_BEFORE));
    }

    /// Shows the progress, after fitting the bar to a terminal whose width has changed.
    pub(super) fn advance(&mut self, done: u64, total: Option<u64>, detail: Option<&str>) {
        let width = layout::width();
        if width != self.width {
            self.width = width;
            self.lay_out();
        }
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
        if let Some(detail) = detail {
            self.bar.set_message(message::fit(detail, COLUMNS_BEFORE));
        }
    }
}

/// Writes `done/total `, or nothing while the total is unknown.
fn write_count(state: &ProgressState, text: &mut dyn std::fmt::Write) {
    if let Some(total) = state.len().filter(|total| *total > 0) {
        let _ = write!(text, "{}/{total} ", state.pos());
    }
}

/// Prints `line` above the bar of the running phase, if there is one.
fn print_above(running: Option<&PhaseBar>, line: &str) {
    match running {
        Some(running) => running.bar.suspend(|| print_line(line)),
        None => print_line(line),
    }
}

/// `text` with the name of the host before each line.
pub(super) fn prefix_with_host(host: &HostName, text: &str) -> String {
    let host = escape::line(host);
    text.split('\n').map(|line| format!("{host}: {}", line.trim_start())).collect::<Vec<_>>().join("\n")
}

/// The line of `event` as stderr shows it, behind the name of the `host` that it is of; `None` as in [`line_of`].
fn shown_line(host: Option<&HostName>, event: &Event) -> Option<String> {
    let text = line_of(event)?;
    let text = host.map_or_else(|| text.clone(), |host| prefix_with_host(host, &text));
    let shown = super::lay_out(&text, Stream::Stderr);
    let is_dim = matches!(
        event,
        Event::Log { .. } | Event::Tail { .. } | Event::ChildStarted { .. } | Event::LogFile { .. }
    );
    Some(if is_dim { Stream::Stderr.paint(Role::Dim, &shown) } else { shown })
}

/// Prints `line` on stderr. A closed stderr is not an error.
fn print_line(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The plain text of an event, escaped; `None` for events that begin, end or advance a phase without a result, and for
/// the failure of the command, which [`super::print_error`] prints.
pub(super) fn line_of(event: &Event) -> Option<String> {
    match event {
        Event::Note { text } => Some(escape::lines(text)),
        Event::Warning { text, hint } => {
            let hint = hint.as_ref().map(|hint| format!("\nhint: {}", escape::line(hint)));
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
    fn the_lines_of_a_host_name_it() {
        let event = Event::note("a\n  b");
        assert_eq!(prefix_with_host(&"pi".into(), &line_of(&event).unwrap()), "pi: a\npi: b");
    }

    #[test]
    fn a_done_phase_and_a_warning_have_lines_and_progress_has_none() {
        let done = Event::Done { name: "write".into(), amount: 64 << 20, is_in_bytes: true, seconds: 2.0 };
        assert_eq!(line_of(&done).unwrap(), "     write  64.0 MiB in 2.0 s (32.0 MiB/s)");
        assert_eq!(line_of(&Event::warning("hot")).unwrap(), "warning: hot");
        assert_eq!(line_of(&Event::Progress { done: 1, total: None, detail: None }), None);
    }
}
