//! The lines that a guest prints on its console.

use std::io::BufRead;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// The lines of a console.
#[derive(Default)]
pub struct Console {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Console {
    /// Takes lines from `output` until it ends.
    pub fn fill(&self, mut output: impl BufRead) {
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.lines.lock().unwrap().push(text);
            self.changed.notify_all();
            line.clear();
        }
    }

    /// The number of lines so far.
    pub fn len(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    pub fn line(&self, number: usize) -> String {
        self.lines.lock().unwrap()[number].clone()
    }

    /// Waits until `text` is printed, which was not before line `from`; returns the number of the next line.
    #[track_caller]
    pub fn wait_for(&self, text: &str, from: usize, limit: Duration) -> usize {
        let end = Instant::now() + limit;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(at) = lines.iter().skip(from).position(|line| line.contains(text)) {
                return from + at + 1;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no \"{text}\" on the console\n{}", last(&lines));
            lines = self.changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// The last lines.
    pub fn excerpt(&self) -> String {
        last(&self.lines.lock().unwrap())
    }
}

fn last(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(25)..].join("\n")
}
