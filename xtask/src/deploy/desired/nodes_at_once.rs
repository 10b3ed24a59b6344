//! The nodes of several hosts: an evaluation of several hosts evaluates once what they have in common.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::nodes::{Nodes, NodesQuery, has_derivation};
use super::progress::EvalProgress;
use crate::base::failure::{self, ExitKind};
use crate::base::{Context, Event, HostName, Reporter, parallel};
use crate::nix::{self, EvalCache, Evaluation, Fingerprint};

/// Begins the text of the warning that precedes those of one of several hosts.
const MARKER: &str = "xtask evaluates ";

/// The nodes of one of several hosts, and how long their evaluation took.
pub struct FoundNodes {
    pub nodes: Result<Nodes>,
    /// The seconds of the evaluation in which the host was; 0 for a cached answer.
    pub seconds: f64,
}

/// The evaluation of several hosts of the flake of `cx`.
struct Run<'a> {
    cx: &'a Context,
    query: NodesQuery<'a>,
    progress: EvalProgress<'a>,
    /// Whether there is only one host.
    is_one: bool,
}

impl Nodes {
    /// Reads the nodes of `hosts`. Takes the answer for a host from the cache if the flake is unchanged and the
    /// derivation still exists, and evaluates as many others at once as this machine has memory for. Where hosts cannot
    /// be evaluated together, each is evaluated by itself. The result has the order of `hosts`. Events name the host,
    /// unless there is only one.
    pub fn load(cx: &Context, hosts: &[HostName], query: NodesQuery<'_>) -> Vec<FoundNodes> {
        let progress = EvalProgress::begin(cx.reporter.as_ref(), hosts);
        Run { cx, query, progress, is_one: hosts.len() == 1 }.load(hosts)
    }
}

/// The answer for a host, and the seconds until it.
type Answer = (Result<Evaluation>, f64);

impl Run<'_> {
    fn load(&self, hosts: &[HostName]) -> Vec<FoundNodes> {
        let Self { cx, query, .. } = self;
        let cache = EvalCache::new(&cx.state);
        let is_cacheable = nix::is_cacheable(query.options);
        let before =
            query.metadata.filter(|_| is_cacheable).and_then(|metadata| metadata.fingerprint(&cx.launcher));
        let cached = hosts.iter().map(|host| self.cached(&cache, before.as_ref()?, host)).collect::<Vec<_>>();
        let by_host = || hosts.iter().zip(&cached);
        let missing =
            by_host().filter(|(_, cached)| cached.is_none()).map(|(host, _)| host).collect::<Vec<_>>();
        self.progress.count(by_host().filter(|(_, cached)| cached.is_some()).map(|(host, _)| host));
        let evaluated = self.evaluate_all(&missing);
        if let Some(before) = &before {
            self.store(&cache, before, &missing, &evaluated);
        }
        let mut evaluated = evaluated.into_iter();
        let answers = cached.into_iter().map(|cached| match cached {
            Some(result) => (Ok(result), 0.0),
            None => evaluated.next().map_or_else(
                || (Err(anyhow::anyhow!("a host was not evaluated")), 0.0),
                |(answer, seconds)| (answer.map(|evaluation| evaluation.result), seconds),
            ),
        });
        answers
            .map(|(answer, seconds)| FoundNodes { nodes: answer.and_then(|it| self.parse(it)), seconds })
            .collect()
    }

    fn reporter_for(&self, host: &HostName) -> Arc<dyn Reporter> {
        if self.is_one { self.cx.reporter.clone() } else { self.cx.for_host(host).reporter }
    }

    fn parse(&self, answer: Value) -> Result<Nodes> {
        serde_json::from_value(answer).with_context(|| format!("reading deploy.nodes of {}", self.cx.flake))
    }

    /// The valid cached answer for `host`.
    fn cached(&self, cache: &EvalCache, before: &Fingerprint, host: &HostName) -> Option<Value> {
        let reporter = self.reporter_for(host);
        cache.get_valid(before, &self.query.function(host), has_derivation, reporter.as_ref())
    }

    /// Stores the valid answers of `evaluated`, the answers for `hosts`.
    fn store(&self, cache: &EvalCache, before: &Fingerprint, hosts: &[&HostName], evaluated: &[Answer]) {
        let is_valid = |evaluation: &&Evaluation| has_derivation(&evaluation.result);
        let valid = hosts.iter().zip(evaluated).filter_map(|(host, (answer, _))| {
            let evaluation = answer.as_ref().ok().filter(is_valid)?;
            Some((self.query.function(host), evaluation))
        });
        let valid = valid.collect::<Vec<_>>();
        let valid = valid.iter().map(|(function, evaluation)| (function.as_str(), *evaluation));
        cache.store_if_unchanged(&self.cx.launcher, &self.cx.flake, before, &valid.collect::<Vec<_>>());
    }

    fn evaluate_all(&self, hosts: &[&HostName]) -> Vec<Answer> {
        let batches = hosts.chunks(parallel::evaluation_batch(hosts.len()));
        let answers = parallel::map(parallel::max_evaluations(), batches, |batch| self.evaluate_batch(batch));
        answers.into_iter().flatten().collect()
    }

    /// The answers for `hosts` of one evaluation; of one for each, where that fails.
    fn evaluate_batch(&self, hosts: &[&HostName]) -> Vec<Answer> {
        let begin = Instant::now();
        if let [host] = hosts {
            return vec![self.evaluate_one(host)];
        }
        hosts.iter().take(1).for_each(|host| self.progress.show(host));
        match self.evaluate_together(hosts) {
            Ok(evaluations) => {
                let seconds = begin.elapsed().as_secs_f64();
                self.progress.count(hosts.iter().copied());
                evaluations.into_iter().map(|evaluation| (Ok(evaluation), seconds)).collect()
            }
            Err(error) if failure::kind(&error) == ExitKind::Interrupted => {
                hosts.iter().map(|_| (Err(failure::copy(&error)), 0.0)).collect()
            }
            Err(_) => hosts.iter().map(|host| self.evaluate_one(host)).collect(),
        }
    }

    fn evaluate_one(&self, host: &HostName) -> Answer {
        let begin = Instant::now();
        let reporter = self.reporter_for(host);
        self.progress.show(host);
        let answer =
            Evaluation::record(reporter.as_ref(), |reporter| self.query.evaluate(self.cx, host, reporter));
        self.progress.count([host]);
        (answer, begin.elapsed().as_secs_f64())
    }

    /// The answers for `hosts` of one evaluation, with the warnings that Nix printed of each.
    ///
    /// # Errors
    /// That of the first host that does not evaluate, and of a Nix that cannot evaluate all outputs at once.
    fn evaluate_together(&self, hosts: &[&HostName]) -> Result<Vec<Evaluation>> {
        let Self { cx, query, .. } = self;
        let warnings = HostWarnings::new(cx, hosts);
        let function = function_for(query, hosts);
        let answer =
            nix::eval(&cx.launcher, &cx.flake, nix::ALL_OUTPUTS, &function, query.options, &warnings)?;
        let results =
            serde_json::from_value::<Vec<Value>>(answer).context("reading the nodes of several hosts")?;
        anyhow::ensure!(
            results.len() == hosts.len(),
            "nix evaluated {} of {} hosts",
            results.len(),
            hosts.len()
        );
        let warnings = warnings.into_warnings();
        Ok(results
            .into_iter()
            .zip(warnings)
            .map(|(result, warnings)| Evaluation { result, warnings })
            .collect())
    }
}

/// The Nix function that reads the nodes of `hosts` from the outputs of the flake, one after the other, and prints a
/// marker before each.
fn function_for(query: &NodesQuery<'_>, hosts: &[&HostName]) -> String {
    let names = hosts.iter().map(|host| nix::quote(host)).collect::<Vec<_>>().join(" ");
    let reader = query.reader();
    format!(
        "outputs: let read = {reader}; in \
         map (host: builtins.trace \"warning: {MARKER}${{host}}\" (read host outputs)) [ {names} ]"
    )
}

/// Sorts the warnings of an evaluation by the host whose marker came before them, and passes them on.
struct HostWarnings<'a> {
    cx: &'a Context,
    hosts: &'a [&'a HostName],
    /// The position of the host that is evaluated, and the warnings of each so far.
    sorted: Mutex<(usize, Vec<Vec<String>>)>,
}

impl<'a> HostWarnings<'a> {
    fn new(cx: &'a Context, hosts: &'a [&'a HostName]) -> Self {
        Self { cx, hosts, sorted: Mutex::new((0, vec![Vec::new(); hosts.len()])) }
    }

    fn into_warnings(self) -> Vec<Vec<String>> {
        self.sorted.into_inner().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Reporter for HostWarnings<'_> {
    fn report(&self, event: &Event) {
        self.cx.reporter.report(event);
    }

    fn warn_once(&self, text: &str) {
        let mut sorted = self.sorted.lock().unwrap_or_else(PoisonError::into_inner);
        let marked =
            text.strip_prefix(MARKER).and_then(|name| self.hosts.iter().position(|host| **host == *name));
        if let Some(position) = marked {
            sorted.0 = position;
            return;
        }
        let (position, warnings) = &mut *sorted;
        warnings[*position].push(text.to_owned());
        self.cx.for_host(self.hosts[*position]).reporter.warn_once(text);
    }
}
