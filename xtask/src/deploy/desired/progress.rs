//! How many of several hosts are evaluated.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::base::{Event, HostName, Reporter, RunningPhase};

/// The phase in which hosts are evaluated. One host has no progress.
pub struct EvalProgress<'a> {
    reporter: &'a dyn Reporter,
    /// Ends when this is dropped.
    _running: RunningPhase<'a>,
    /// `None` for one host.
    total: Option<u64>,
    evaluated: Mutex<BTreeSet<HostName>>,
}

impl<'a> EvalProgress<'a> {
    /// Begins the phase for `hosts`.
    pub fn begin(reporter: &'a dyn Reporter, hosts: &[HostName]) -> Self {
        let total = (hosts.len() > 1).then_some(hosts.len() as u64);
        let running = RunningPhase::begin_with(reporter, "evaluate", total, false);
        Self { reporter, _running: running, total, evaluated: Mutex::default() }
    }

    /// Shows that `host` is evaluated now.
    pub fn show(&self, host: &HostName) {
        self.report(Vec::new(), Some(host.to_string()));
    }

    /// Counts `hosts`. A host that is evaluated again counts once.
    pub fn count<'h>(&self, hosts: impl IntoIterator<Item = &'h HostName>) {
        self.report(hosts.into_iter().cloned().collect(), None);
    }

    fn report(&self, evaluated: Vec<HostName>, detail: Option<String>) {
        let Some(total) = self.total else { return };
        let mut all = self.evaluated.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(evaluated);
        self.reporter.report(&Event::Progress { done: all.len() as u64, total: Some(total), detail });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Recorder;

    #[test]
    fn each_host_counts_once() {
        let recorder = Recorder::default();
        let hosts = ["a", "b", "c"].map(HostName::from);
        let progress = EvalProgress::begin(&recorder, &hosts);
        progress.show(&hosts[0]);
        progress.count(&hosts[..2]);
        progress.count(&hosts[1..]);
        drop(progress);
        let at = |done, detail: Option<&str>| Event::Progress {
            done,
            total: Some(3),
            detail: detail.map(str::to_owned),
        };
        let begin = Event::Phase { name: "evaluate".into(), total: Some(3), is_in_bytes: false };
        let expected = [
            begin,
            at(0, Some("a")),
            at(2, None),
            at(3, None),
            Event::PhaseEnded { name: Some("evaluate".into()) },
        ];
        assert_eq!(recorder.events(), expected);
    }

    #[test]
    fn one_host_has_no_progress() {
        let recorder = Recorder::default();
        let hosts = [HostName::from("a")];
        EvalProgress::begin(&recorder, &hosts).count(&hosts);
        let begin = Event::Phase { name: "evaluate".into(), total: None, is_in_bytes: false };
        assert_eq!(recorder.events(), [begin, Event::PhaseEnded { name: Some("evaluate".into()) }]);
    }
}
