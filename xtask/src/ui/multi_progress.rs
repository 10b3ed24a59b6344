//! Progress of several hosts in parallel: a line for each host.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::bar_terminal;
use super::charset::Charset;
use super::message;
use crate::base::{Event, HostName, escape};

/// The line of a host: its name, the elapsed time, and its current step.
const TEMPLATE: &str = "{prefix:>10} {spinner} {elapsed} {wide_msg}";

/// The columns before the step, with a name of usual length.
const COLUMNS_BEFORE: usize = 18;

/// The lines of all hosts, below the scrolling output.
pub struct HostProgress {
    display: MultiProgress,
    /// The line of each host with a running phase.
    pub(super) lines: Mutex<BTreeMap<HostName, ProgressBar>>,
}

impl Default for HostProgress {
    fn default() -> Self {
        Self {
            display: MultiProgress::with_draw_target(bar_terminal::draw_target()),
            lines: Mutex::default(),
        }
    }
}

impl HostProgress {
    /// Shows an event of `host`; `line`, if there is one, scrolls above the lines of the hosts.
    pub fn report(&self, host: &HostName, event: &Event, line: Option<&str>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase { name: text, .. }
            | Event::Step { text }
            | Event::Log { text }
            | Event::TaskStarted { text, .. }
            | Event::Output { text, .. }
            | Event::Progress { detail: Some(text), .. } => {
                let index = lines.keys().take_while(|other| *other < host).count();
                let bar = lines.entry(host.to_owned()).or_insert_with(|| self.add_line(host, index));
                bar.set_message(message::fit(text, COLUMNS_BEFORE.max(host.chars().count() + 8)));
            }
            Event::PhaseEnded => {
                if let Some(bar) = lines.remove(host) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        if let Some(line) = line {
            self.display.suspend(|| super::bars::print_line(line));
        }
    }

    /// Adds the line of `host` below `index` others, so that the order stays that of the names.
    fn add_line(&self, host: &HostName, index: usize) -> ProgressBar {
        let bar = self.display.insert(index, ProgressBar::new_spinner());
        let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(Charset::of_locale().apply_to(style));
        bar.set_prefix(escape::line(host));
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

impl Drop for HostProgress {
    /// Clears the lines, also after an error.
    fn drop(&mut self) {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        lines.values().for_each(ProgressBar::finish_and_clear);
    }
}
