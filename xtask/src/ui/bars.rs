//! The three renderings of events: bars on a terminal, plain lines elsewhere, JSON lines for programs.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::event::{Event, Reporter};
use super::size::Bytes;
use super::strip::Strip;

/// The reporter that fits: JSON where it was asked for, bars on a terminal, plain lines elsewhere.
pub fn reporter(json: bool) -> Box<dyn Reporter> {
    if json {
        Box::new(JsonLines)
    } else if std::io::stderr().is_terminal() {
        Box::new(Bars::default())
    } else {
        Box::new(Plain)
    }
}

/// One JSON object a line, on stderr: stdout belongs to the result.
pub struct JsonLines;

impl Reporter for JsonLines {
    fn report(&self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            say(&line);
        }
    }
}

/// A line a fact, without progress: for logs and pipes.
pub struct Plain;

impl Reporter for Plain {
    fn report(&self, event: &Event) {
        if let Some(line) = line_of(event) {
            say(&line);
        }
    }
}

/// A bar for the running phase; everything else scrolls above it.
#[derive(Default)]
pub struct Bars {
    bar: Mutex<Option<ProgressBar>>,
}

impl Drop for Bars {
    /// A phase that an error broke off leaves no bar behind: the error that follows says how far it came.
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

impl Reporter for Bars {
    fn report(&self, event: &Event) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase { name, total, bytes } => *bar = Some(new_bar(name, *total, *bytes)),
            Event::Progress { done, total, detail } => {
                advance(bar.as_ref(), *done, *total, detail.as_deref());
            }
            Event::Step { text } => bar.iter().for_each(|bar| bar.set_message(text.clone())),
            Event::Done { .. } | Event::Over | Event::Failed { .. } => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
                line_of(event).iter().map(String::as_str).for_each(say);
            }
            _ => line_of(event).iter().for_each(|line| above(bar.as_ref(), line)),
        }
    }
}

fn new_bar(name: &str, total: Option<u64>, bytes: bool) -> ProgressBar {
    let template = match (bytes, total.is_some()) {
        (true, true) => {
            "{prefix:>10} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} left {wide_msg}"
        }
        (true, false) => "{prefix:>10} {spinner} {bytes} {binary_bytes_per_sec} {wide_msg}",
        (false, _) => "{prefix:>10} {spinner} {count}{elapsed} {wide_msg}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let style = style.with_key("count", count);
    let bar = ProgressBar::new(total.unwrap_or(0)).with_style(style).with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// `done/total `, or nothing as long as the total is not known.
fn count(state: &ProgressState, text: &mut dyn std::fmt::Write) {
    if let Some(total) = state.len().filter(|total| *total > 0) {
        let _ = write!(text, "{}/{total} ", state.pos());
    }
}

fn advance(bar: Option<&ProgressBar>, done: u64, total: Option<u64>, detail: Option<&str>) {
    let Some(bar) = bar else { return };
    if let Some(total) = total {
        bar.set_length(total);
    }
    bar.set_position(done);
    if let Some(detail) = detail {
        bar.set_message(detail.to_owned());
    }
}

fn above(bar: Option<&ProgressBar>, line: &str) {
    match bar {
        Some(bar) => bar.suspend(|| say(line)),
        None => say(line),
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The plain line of an event; progress has none.
fn line_of(event: &Event) -> Option<String> {
    match event {
        Event::Note { text } => Some(text.clone()),
        Event::Warning { text } => Some(format!("warning: {text}")),
        Event::Log { text } => Some(format!("  | {text}")),
        Event::Step { text } => Some(format!("{:>10}  {text}", "")),
        Event::Map { runs } => Some(format!("{:>10}  {}", "card", Strip(runs))),
        Event::Done { name, amount, bytes, seconds } => Some(done_line(name, *amount, *bytes, *seconds)),
        Event::Phase { .. } | Event::Progress { .. } | Event::Over | Event::Failed { .. } => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people"
)]
fn done_line(name: &str, amount: u64, bytes: bool, seconds: f64) -> String {
    match (bytes, amount) {
        (false, 0) => return format!("{name:>10}  nothing to do"),
        (false, 1) => return format!("{name:>10}  1 step in {seconds:.1} s"),
        (false, _) => return format!("{name:>10}  {amount} steps in {seconds:.1} s"),
        (true, _) => {}
    }
    let rate = (amount as f64 / seconds.max(0.001)) as u64;
    format!("{name:>10}  {} in {seconds:.1} s ({}/s)", Bytes(amount), Bytes(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines() {
        let done = Event::Done { name: "write".into(), amount: 64 << 20, bytes: true, seconds: 2.0 };
        assert_eq!(line_of(&done).unwrap(), "     write  64.0 MiB in 2.0 s (32.0 MiB/s)");
        assert_eq!(line_of(&Event::warning("hot")).unwrap(), "warning: hot");
        assert_eq!(line_of(&Event::Progress { done: 1, total: None, detail: None }), None);
    }
}
