//! A line for each of several hosts that are worked on side by side.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::base::{Event, escape};

/// What a host is at, and for how long.
const TEMPLATE: &str = "{prefix:>10} {spinner} {elapsed} {wide_msg}";

/// The lines below everything that scrolls.
#[derive(Default)]
pub struct Board {
    screen: MultiProgress,
    lines: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Board {
    /// Takes in what happened with `host`; `line` is what is said about it for good.
    pub fn report(&self, host: &str, event: &Event, line: Option<&str>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase { name: text, .. } | Event::Step { text } | Event::Log { text } => {
                let bar = lines.entry(host.to_owned()).or_insert_with(|| self.begin(host));
                bar.set_message(escape::log(text));
            }
            Event::PhaseEnded => lines.remove(host).iter().for_each(ProgressBar::finish_and_clear),
            _ => {}
        }
        if let Some(line) = line {
            let _ = self.screen.println(line);
        }
    }

    #[cfg(test)]
    pub fn bars(&self) -> Vec<ProgressBar> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn begin(&self, host: &str) -> ProgressBar {
        let bar = self.screen.add(ProgressBar::new_spinner());
        bar.set_style(
            ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(escape::line(host));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

impl Drop for Board {
    /// An error leaves no line behind.
    fn drop(&mut self) {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        lines.values().for_each(ProgressBar::finish_and_clear);
    }
}
