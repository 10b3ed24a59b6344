//! `--plan` of `sd-image` and `deploy`: what a build would do.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, JsonResult};
use crate::nix::BuildPlan;
use crate::ui;

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct BuildPlanResult {
    plan: BuildPlan,
}

impl JsonResult for BuildPlanResult {}

/// Shows `plan`.
pub fn show(cx: &Context, plan: BuildPlan) -> Result<()> {
    if cx.json { ui::print_json(&BuildPlanResult { plan }) } else { ui::print_lines(&plan.to_string()) }
}
