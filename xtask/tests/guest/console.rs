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
    /// Reads lines from `output` until `output` ends.
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

    /// The line `number`, counted from 0.
    pub fn line(&self, number: usize) -> String {
        self.lines.lock().unwrap()[number].clone()
    }

    /// Waits until a line from the line `from` on contains `text`. Returns the number of the next line.
    #[track_caller]
    pub fn wait_for(&self, text: &str, from: usize, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(position) = lines.iter().skip(from).position(|line| line.contains(text)) {
                return from + position + 1;
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            assert!(!remaining.is_zero(), "no \"{text}\" on the console\n{}", last_lines(&lines));
            lines = self.changed.wait_timeout(lines, remaining).unwrap().0;
        }
    }

    /// The last lines.
    pub fn excerpt(&self) -> String {
        last_lines(&self.lines.lock().unwrap())
    }
}

/// The last 25 of `lines` as one text.
fn last_lines(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(25)..].join("\n")
}
