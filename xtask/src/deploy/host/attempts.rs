//! What a wait for a host tries, and what it learns.

use crate::base::{Event, Reporter};
use crate::deploy::target::Target;

/// The attempts of one wait.
pub struct Attempts<'a> {
    target: &'a Target,
    count: u64,
    /// The answer to the last attempt; empty before the first.
    answer: String,
}

impl<'a> Attempts<'a> {
    pub fn new(target: &'a Target) -> Self {
        Self { target, count: 0, answer: String::new() }
    }

    /// Reports the `error` of the next attempt: each time as what is tried now, and as a step where the answer is
    /// another one than before.
    pub fn report(&mut self, error: &anyhow::Error, reporter: &dyn Reporter) {
        self.count += 1;
        let destination = &self.target.connection.destination;
        let answer = short_answer(error, destination);
        if answer != self.answer {
            reporter.report(&Event::Step { text: format!("{destination}: {answer}") });
        }
        // The line of a terminal has room for the reason alone: `connect to host … port 22: No route to host`.
        let reason = answer.rsplit(": ").next().unwrap_or_default();
        let detail = Some(format!("attempt {} at {destination}: {reason}", self.count));
        reporter.report(&Event::Progress { done: self.count, total: None, detail });
        self.answer = answer;
    }
}

/// The first line of `error`, without the words that are the same for each attempt to reach `destination`.
fn short_answer(error: &anyhow::Error, destination: &str) -> String {
    let text = format!("{error:#}");
    let answer =
        text.split_once(&format!("cannot be reached as {destination}: ")).map_or(&*text, |(_, rest)| rest);
    answer.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Recorder;
    use crate::base::failure::ExitKind;
    use crate::deploy::verdict::tests::target;

    /// An event about an attempt in words.
    fn words(event: Event) -> String {
        match event {
            Event::Step { text } => format!("step {text}"),
            Event::Progress { detail, .. } => detail.unwrap_or_default(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_attempt_is_shown_and_each_new_answer_is_a_step() {
        let target = target(None);
        let to = target.connection.destination.clone();
        let recorder = Recorder::default();
        let mut attempts = Attempts::new(&target);
        let reached = format!("pi cannot be reached as {to}: refused");
        for text in ["no route\n  more", "no route", &reached] {
            attempts.report(&ExitKind::Unreachable.error(text), &recorder);
        }
        let expected = [
            format!("step {to}: no route"),
            format!("attempt 1 at {to}: no route"),
            format!("attempt 2 at {to}: no route"),
            format!("step {to}: refused"),
            format!("attempt 3 at {to}: refused"),
        ];
        assert_eq!(recorder.events().into_iter().map(words).collect::<Vec<_>>(), expected);
    }
}
