//! `up HOST`: takes a host from the flake to a running machine, step by step. What an earlier run has done, by the
//! receipts and by the host itself, is not done again.

mod facts;
mod journal;
mod plan;
mod run;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::failure::{self, ExitKind, kind};
use crate::base::{Context, HostName, JsonResult};
use crate::cli::Up;
use crate::commands::next_step;
use crate::commands::plan_facts::PlanFacts;
use crate::deploy::HostStatus;
use crate::{deploy, nix, ui};
use facts::Facts;
use journal::{Entry, Journal};
pub use plan::PlannedStep;
use plan::{Plan, Step};

pub fn run(cx: &Context, args: &Up) -> Result<()> {
    let host = args.host()?;
    let version = nix::require(&cx.launcher)?;
    let facts = Facts::gather(cx, args, &host)?;
    let plan = Plan::new(args, &facts);
    plan.check(args)?;
    if plan.has_to_do(Step::Deploy) {
        // Not only after a flash.
        deploy::require_deploy_rs(&cx.launcher)?;
    }
    cx.show_plan(&plan, &PlanFacts::Up { host: host.clone(), steps: plan.facts() });
    if !args.write.dry_run {
        cx.log.keep_for_host(&host);
    }
    let mut journal = Journal::new(&plan);
    let ended = if args.write.dry_run {
        Ok(None)
    } else {
        run::all_steps(cx, args, version, facts, &plan, &mut journal)
    };
    let ended = ended.map_err(resumable);
    if cx.json {
        let status = ended.as_ref().ok().and_then(Option::as_ref).map(HostStatus::of);
        ui::print_json(&UpResult { host, steps: journal.into_steps(), status })?;
    } else if args.write.dry_run {
        ui::print_result(&plan.summary())?;
    }
    if args.write.dry_run && !plan.is_done() {
        next_step::after_dry_run();
    }
    ended.map(drop)
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct UpResult {
    host: HostName,
    /// All steps, in the order of a run.
    steps: Vec<Entry>,
    /// The host at the end; `None` where it was not asked then.
    status: Option<HostStatus>,
}

impl JsonResult for UpResult {}

/// The error of a step, with a hint where the user has stopped the run.
fn resumable(error: anyhow::Error) -> anyhow::Error {
    if kind(&error) != ExitKind::Interrupted || failure::hint(&error).is_some() {
        return error;
    }
    let hint = "run the same command again: what is done is not done again";
    ExitKind::Interrupted.error_with_hint(format_args!("{error:#}"), hint)
}
