//! The progress as one line, which answers SIGUSR1: on a terminal, in plain lines and with `--json`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::base::{Bytes, Event, Reporter, Subject, escape, progress_signal};

/// The shortest time between two answers. A worker that gets a SIGUSR1 passes it on to the tool, so a signal that the
/// user sends to both is answered once.
const MIN_INTERVAL: Duration = Duration::from_millis(300);

/// A reporter that tracks the running phases and passes all events on to another reporter.
pub struct ProgressReporter {
    reporter: Arc<dyn Reporter>,
    /// The reporter of answers to the user, who sees them whatever the verbosity.
    answers: Arc<dyn Reporter>,
    phases: Mutex<Phases>,
    /// The warnings that [`Reporter::warn_once`] has reported.
    warned: Mutex<BTreeSet<String>>,
}

/// The running phases: that of the command, and those of the hosts or cards that the command works on in parallel.
#[derive(Default)]
struct Phases {
    /// The phase of each host or card; `None` is the phase of the command.
    running: BTreeMap<Option<Subject>, RunningPhase>,
    /// The last time somebody asked for the progress.
    last_request: Option<Instant>,
}

/// A phase that runs, with its progress: in bytes if `is_in_bytes` is set, else in steps.
struct RunningPhase {
    name: String,
    is_in_bytes: bool,
    done: u64,
    total: Option<u64>,
    /// The current step; empty where none was reported.
    step: String,
    since: Instant,
}

impl ProgressReporter {
    /// Wraps `reporter` in one that answers SIGUSR1 by `answers` as long as it lives.
    pub fn wrap(reporter: Arc<dyn Reporter>, answers: Arc<dyn Reporter>) -> Arc<dyn Reporter> {
        let wrapped =
            Arc::new(Self { reporter, answers, phases: Mutex::default(), warned: Mutex::default() });
        let weak = Arc::downgrade(&wrapped);
        progress_signal::answer_with(move || report_if_alive(&weak));
        wrapped
    }

    fn track(&self, subject: Option<&Subject>, event: &Event) {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).track(subject, event);
    }
}

/// Answers one SIGUSR1 with the progress. Returns whether `reporter` still lives to answer the next one.
fn report_if_alive(reporter: &Weak<ProgressReporter>) -> bool {
    let Some(reporter) = reporter.upgrade() else { return false };
    reporter.report_progress();
    true
}

impl Reporter for ProgressReporter {
    fn report(&self, event: &Event) {
        self.track(None, event);
        self.reporter.report(event);
    }

    fn report_for(&self, subject: &Subject, event: &Event) {
        self.track(Some(subject), event);
        self.reporter.report_for(subject, event);
    }

    fn warn_once(&self, text: &str) {
        let is_new = self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned());
        if is_new {
            self.report(&Event::warning(text));
        }
    }

    fn report_progress(&self) {
        let line = self.phases.lock().unwrap_or_else(PoisonError::into_inner).line(Instant::now());
        if let Some(line) = line {
            self.answers.report(&Event::note(line));
        }
    }
}

impl Phases {
    /// Updates the phase of `subject`, or of the command without one, by `event`.
    fn track(&mut self, subject: Option<&Subject>, event: &Event) {
        let subject = subject.cloned();
        match event {
            Event::Phase { name, total, is_in_bytes } => {
                let running = RunningPhase {
                    name: escape::line(name),
                    is_in_bytes: *is_in_bytes,
                    done: 0,
                    total: *total,
                    step: String::new(),
                    since: Instant::now(),
                };
                self.running.insert(subject, running);
            }
            Event::Progress { done, total, .. } => {
                if let Some(running) = self.running.get_mut(&subject) {
                    running.done = *done;
                    running.total = total.or(running.total);
                }
            }
            Event::Step { text } | Event::TaskStarted { text, .. } => {
                if let Some(running) = self.running.get_mut(&subject) {
                    running.step = escape::line(text);
                }
            }
            Event::Done { .. } | Event::Found { .. } | Event::PhaseEnded { .. } | Event::Failed(_) => {
                self.running.remove(&subject);
            }
            _ => {}
        }
    }

    /// The progress at `now`; `None` less than [`MIN_INTERVAL`] after the last request.
    fn line(&mut self, now: Instant) -> Option<String> {
        let last = self.last_request.replace(now);
        if last.is_some_and(|last| now.saturating_duration_since(last) < MIN_INTERVAL) {
            return None;
        }
        let texts = self.running.iter().map(|(subject, running)| match subject {
            Some(subject) => format!("{}: {}", escape::line(&subject.to_string()), running.text(now)),
            None => running.text(now),
        });
        let text = texts.collect::<Vec<_>>().join("; ");
        Some(format!("progress: {}", if text.is_empty() { "no phase is running" } else { &text }))
    }
}

impl RunningPhase {
    /// The progress in words, at the time `now`.
    fn text(&self, now: Instant) -> String {
        let seconds = now.saturating_duration_since(self.since).as_secs_f64();
        if self.is_in_bytes { self.text_of_bytes(seconds) } else { self.text_of_steps(seconds) }
    }

    fn text_of_steps(&self, seconds: f64) -> String {
        let Self { name, done, total, step, .. } = self;
        let step = if step.is_empty() { String::new() } else { format!(", {step}") };
        let count = total.map(|total| format!(" {done} of {total} steps")).unwrap_or_default();
        format!("{name}{count} in {seconds:.1} s{step}")
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rate for people"
    )]
    fn text_of_bytes(&self, seconds: f64) -> String {
        let Self { name, done, total, .. } = self;
        let bytes_per_second = *done as f64 / seconds.max(0.001);
        let of_total = total.map(|total| {
            let percent = u128::from(*done) * 100 / u128::from(total.max(1));
            format!(" of {} ({percent} %)", Bytes(total))
        });
        let time_left = total.filter(|_| bytes_per_second > 0.0).map(|total| {
            let seconds_left = total.saturating_sub(*done) as f64 / bytes_per_second;
            format!(", {seconds_left:.0} s left")
        });
        let done = Bytes(*done);
        let rate = Bytes(bytes_per_second as u64);
        let of_total = of_total.unwrap_or_default();
        let time_left = time_left.unwrap_or_default();
        format!("{name} {done}{of_total} in {seconds:.1} s, {rate}/s{time_left}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(total: Option<u64>, is_in_bytes: bool) -> Event {
        Event::Phase { name: "write".into(), total, is_in_bytes }
    }

    #[test]
    fn the_line_has_the_known_parts_of_the_progress() {
        let progress = |done| Event::Progress { done, total: None, detail: None };
        for (events, line) in [
            (vec![], "progress: no phase is running"),
            (
                vec![phase(Some(200 << 20), true), progress(50 << 20)],
                "progress: write 50.0 MiB of 200.0 MiB (25 %) in 10.0 s, 5.0 MiB/s, 30 s left",
            ),
            (vec![phase(Some(200 << 20), true)], "progress: write 0 B of 200.0 MiB (0 %) in 10.0 s, 0 B/s"),
            (vec![phase(None, true), progress(50 << 20)], "progress: write 50.0 MiB in 10.0 s, 5.0 MiB/s"),
            (vec![phase(Some(4), false), progress(1)], "progress: write 1 of 4 steps in 10.0 s"),
            (
                vec![phase(None, false), Event::Step { text: "a\nb".into() }],
                "progress: write in 10.0 s, a\\u{a}b",
            ),
            (vec![phase(None, true), Event::PhaseEnded { name: None }], "progress: no phase is running"),
        ] {
            let mut phases = Phases::default();
            for event in &events {
                phases.track(None, event);
            }
            let since = Instant::now();
            phases.running.values_mut().for_each(|running| running.since = since);
            let now = since + Duration::from_secs(10);
            assert_eq!(phases.line(now).as_deref(), Some(line));
            assert_eq!(phases.line(now + Duration::from_millis(10)), None, "asked twice");
        }
    }

    #[test]
    fn hosts_have_their_own_phases() {
        let mut phases = Phases::default();
        for host in ["b", "a"] {
            phases.track(Some(&Subject::Host(host.into())), &phase(None, false));
        }
        let line = phases.line(Instant::now()).unwrap();
        assert_eq!(line, "progress: a: write in 0.0 s; b: write in 0.0 s");
    }
}
