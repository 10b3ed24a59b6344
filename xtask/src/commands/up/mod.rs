//! `up HOST`: takes a host from the flake to a running machine, step by step. What an earlier run has done, by the
//! receipts and by the host itself, is not done again.

mod facts;
mod journal;
mod plan;
mod run;

use anyhow::Result;
use serde_json::json;

use crate::base::Context;
use crate::cli::Up;
use crate::{deploy, nix, ui};
use facts::Facts;
use journal::Journal;
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
    cx.show_plan(&plan);
    if !args.write.dry_run {
        cx.log.keep_for_host(&host);
    }
    let mut journal = Journal::new(&plan);
    let ended = if args.write.dry_run {
        Ok(None)
    } else {
        run::all_steps(cx, args, version, facts, &plan, &mut journal)
    };
    if cx.json {
        let status = ended.as_ref().ok().and_then(Option::as_ref).map(deploy::Status::json);
        ui::print_json(&json!({ "host": host, "steps": journal.steps(), "status": status }))?;
    } else if args.write.dry_run {
        ui::print_result(&plan.summary())?;
    }
    ended.map(drop)
}
