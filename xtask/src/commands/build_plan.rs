//! `--plan` of `sd-image` and `deploy`: what a build would do.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, ErrorReport, Event, HostName, JsonResult};
use crate::deploy::{self, DeployOptions};
use crate::nix::{BuildPlan, Unplanned};
use crate::ui;

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct BuildPlanResult {
    plan: BuildPlan,
    /// The hosts that the plan leaves out, as they cannot be evaluated.
    unplanned: Vec<UnplannedHost>,
}

impl JsonResult for BuildPlanResult {}

/// A host that a plan leaves out, or the attribute of an image that names none.
#[derive(Serialize, JsonSchema)]
struct UnplannedHost {
    host: HostName,
    error: ErrorReport,
}

/// Shows what the build of a deploy of `hosts` would do, also where some of them cannot be evaluated.
///
/// # Errors
/// The most severe of those hosts.
pub fn show_deploy(cx: &Context, options: &DeployOptions, hosts: &[HostName]) -> Result<()> {
    let (plan, unplanned) = deploy::plan_build(cx, options, hosts)?;
    show(cx, plan, unplanned, hosts)
}

/// Shows the `plan` for the `hosts`, but for those that are `unplanned`, as they cannot be evaluated.
///
/// # Errors
/// The most severe of the `unplanned`.
pub fn show(cx: &Context, plan: BuildPlan, mut unplanned: Vec<Unplanned>, hosts: &[HostName]) -> Result<()> {
    if hosts.len() == 1
        && let Some(only) = unplanned.pop()
    {
        return Err(only.error);
    }
    for left_out in &unplanned {
        cx.for_host(&left_out.host).reporter.report(&Event::warning_of(&left_out.error));
    }
    if unplanned.len() < hosts.len() {
        print(cx, plan, &unplanned)?;
    }
    let worst = unplanned.iter().map(|left_out| kind(&left_out.error)).max_by_key(|kind| kind.severity());
    worst.map_or(Ok(()), |worst| Err(unplanned_error(worst, &unplanned, hosts.len())))
}

fn print(cx: &Context, plan: BuildPlan, unplanned: &[Unplanned]) -> Result<()> {
    if !cx.json {
        return ui::print_lines(&plan.to_string());
    }
    let hosts = unplanned.iter();
    let hosts = hosts
        .map(|Unplanned { host, error }| UnplannedHost { host: host.clone(), error: ErrorReport::of(error) });
    ui::print_json(&BuildPlanResult { plan, unplanned: hosts.collect() })
}

fn unplanned_error(kind: ExitKind, unplanned: &[Unplanned], all: usize) -> anyhow::Error {
    let names = deploy::error_names(unplanned.iter().map(|left_out| left_out.host.as_str()));
    kind.error(format!("{} of {all} hosts cannot be planned: {names}", unplanned.len()))
}
