//! Evaluating what hosts are to run.

use anyhow::Result;

use super::desired::{FoundNodes, Nodes, NodesQuery, Overrides, Trust};
use super::options::DeployOptions;
use super::release::Release;
use super::target::Target;
use super::timings::Timings;
use crate::base::{Context, HostName};
use crate::nix::{self, Metadata};

/// The target of a deploy, and how long its evaluation took.
pub struct FoundTarget {
    pub target: Target,
    pub timings: Timings,
}

/// Evaluates what `host` is to run, or takes it from the release.
///
/// # Errors
/// `Usage` if the flake or the release has no such host; `Refused` if the deploy could not be verified afterwards, or
/// if the node has values that this tool does not accept.
pub fn find_target(cx: &Context, options: &DeployOptions, host: &HostName) -> Result<FoundTarget> {
    let found = find_targets(cx, options, std::slice::from_ref(host)).pop();
    found.unwrap_or_else(|| Err(anyhow::anyhow!("{host} was not evaluated")))
}

/// Like [`find_target`], for `hosts`, of which several are evaluated at once. The result has the order of `hosts`.
pub fn find_targets(cx: &Context, options: &DeployOptions, hosts: &[HostName]) -> Vec<Result<FoundTarget>> {
    if let Some(release) = &options.release {
        return hosts.iter().map(|host| released_target(cx, options, release, host)).collect();
    }
    let found = evaluate_all(cx, &options.overrides, options.nix_args(), hosts);
    let found = found.into_iter().map(|(target, seconds)| {
        let mut timings = Timings::default();
        timings.record("evaluate", seconds);
        target.map(|target| FoundTarget { target, timings })
    });
    found.collect()
}

/// What `host` is to run by the `release`.
fn released_target(
    cx: &Context,
    options: &DeployOptions,
    release: &Release,
    host: &HostName,
) -> Result<FoundTarget> {
    let target = release.target(cx, host, &options.overrides)?;
    Ok(FoundTarget { target, timings: Timings::default() })
}

/// Evaluates what each of `hosts` is to run, and returns that with the seconds of its evaluation. The result has the
/// order of `hosts`; the evaluation is a phase of its own.
pub fn evaluate_all(
    cx: &Context,
    overrides: &Overrides,
    nix_args: &[String],
    hosts: &[HostName],
) -> Vec<(Result<Target>, f64)> {
    // Before the evaluation: a commit that is made meanwhile must not be taken for what was built.
    let metadata = Metadata::read(&cx.launcher, &cx.flake);
    let metadata = metadata.as_ref();
    let revision = metadata.and_then(|metadata| metadata.revision(&cx.flake));
    let query = NodesQuery { metadata, is_address_given: overrides.hostname.is_some(), options: nix_args };
    let found = Nodes::load(cx, hosts, query).into_iter().zip(hosts);
    let targets = found.map(|(FoundNodes { nodes, seconds }, host)| {
        let target = nodes.and_then(|nodes| target_of(cx, nodes, overrides, host));
        let target = if hosts.len() == 1 { target.map_err(|error| naming(host, error)) } else { target };
        (target.map(|target| Target { revision: revision.clone(), ..target }), seconds)
    });
    targets.collect()
}

/// Evaluates what `host` is to run. `nix_args` are the user's arguments for Nix.
///
/// # Errors
/// Those of [`find_target`].
pub fn evaluate(cx: &Context, overrides: &Overrides, nix_args: &[String], host: &HostName) -> Result<Target> {
    let found = evaluate_all(cx, overrides, nix_args, std::slice::from_ref(host)).pop();
    found.map_or_else(|| Err(anyhow::anyhow!("{host} was not evaluated")), |(target, _)| target)
}

/// `error`, of the evaluation of `host` alone, with the name of the host. Of several hosts, each event and each row
/// names its own.
fn naming(host: &HostName, error: anyhow::Error) -> anyhow::Error {
    if nix::is_evaluation_failure(&error) { error.context(format!("evaluating {host}")) } else { error }
}

/// The target for `host`, of which `nodes` has the node.
fn target_of(cx: &Context, nodes: Nodes, overrides: &Overrides, host: &HostName) -> Result<Target> {
    let trust = Trust::find(&cx.flake, cx.trust_flake);
    let missing_error = nodes.missing_error(&cx.flake, host, overrides);
    nodes.target(cx, host, overrides, &trust)?.ok_or_else(|| with_number_hint(missing_error, host))
}

/// Replaces the hint of the `error` for an unknown `host` whose name is a number: the parser of the command line takes
/// the 5 of `deploy --wait 5` and of `status --keep-connections 5` for a host. Returns the error for any other host
/// unchanged.
fn with_number_hint(error: anyhow::Error, host: &HostName) -> anyhow::Error {
    match host.parse::<u64>() {
        Ok(number) => crate::failure!(
            Usage, "{error}";
            hint: "write a number behind `=`: `deploy --wait={number}`, `status --keep-connections={number}`"
        ),
        Err(_) => error,
    }
}
