//! The deploy of one host, for `deploy` and `rollback`: the plan, the proof, the receipt and the verdict.

use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Address, Context, FlakeRef, HostName, JsonResult};
use crate::cli::DeployArgs;
use crate::commands::plan_facts::PlanFacts;
use crate::deploy::{
    self, Afterwards, DeployOptions, Ending, Goal, HostResult, Outcome, Overrides, Plan, Waves,
};
use crate::receipt::{self, Deployed};
use crate::{nix, ui};

/// The options of the command line.
///
/// # Errors
/// `Usage` for options that exclude each other.
pub fn options(args: &DeployArgs) -> Result<DeployOptions> {
    args.check_health()?;
    let goal = match (args.dry_run, args.boot) {
        (true, _) => Goal::Show,
        (_, true) => Goal::Boot,
        _ => Goal::Switch,
    };
    Ok(DeployOptions {
        goal,
        afterwards: if args.reboot { Afterwards::Reboot } else { Afterwards::Stay },
        wait: args.wait.map(|minutes| Duration::from_secs(minutes * 60)),
        health: args.health.clone(),
        keep_firmware: args.keep_firmware,
        waves: Waves::new(Vec::new(), None),
        overrides: Overrides::parse_with(&args.deploy_args, args.to.as_ref())?,
        extra: args.to.iter().flat_map(Address::deploy_rs_options).chain(args.deploy_args.clone()).collect(),
    })
}

/// Deploys `host` with the flake of `cx`, and shows the verdict, or the plan of a dry run. Receipts name `flake`, of
/// which that of `cx` may be an older revision. `check` gets the path that the host is to run, before the host is
/// asked.
///
/// # Errors
/// Those of `check`, of a deploy and of its verdict.
pub fn run(
    cx: &Context,
    flake: &FlakeRef,
    options: &DeployOptions,
    version: nix::Version,
    host: &HostName,
    check: impl FnOnce(&str) -> Result<()>,
) -> Result<Ending> {
    let ending = match try_run(cx, flake, options, version, host, check) {
        Ok(ending) => ending,
        Err(error) => {
            ui::print_json(&DeployResult { hosts: vec![HostResult::failed(host, &error)] })?;
            return Err(error);
        }
    };
    match &ending {
        Ending::Planned(plan) => show_planned(cx, plan)?,
        Ending::NotReached => {}
        Ending::Ended(outcome) => show(cx, outcome)?,
    }
    Ok(ending)
}

/// The JSON result of `deploy` and `rollback`.
#[derive(Serialize, JsonSchema)]
pub struct DeployResult {
    pub hosts: Vec<HostResult>,
}

impl JsonResult for DeployResult {}

/// Plans the deploy and carries it out.
fn try_run(
    cx: &Context,
    flake: &FlakeRef,
    options: &DeployOptions,
    version: nix::Version,
    host: &HostName,
    check: impl FnOnce(&str) -> Result<()>,
) -> Result<Ending> {
    let found = deploy::find_target(cx, options, host)?;
    check(found.target.named_path().as_str())?;
    let lock = deploy::lock_host(cx, options, host)?;
    let mut plan = deploy::gather(cx, options, version, found, lock)?;
    if let Some(error) = deploy::build(cx, options, &mut [&mut plan]).into_iter().flatten().next() {
        return Err(error);
    }
    show_and_apply(cx, flake, options, plan)
}

/// Checks and shows the plan; unless this is a dry run, applies it and keeps a receipt, which names `flake`.
pub fn show_and_apply(
    cx: &Context,
    flake: &FlakeRef,
    options: &DeployOptions,
    mut plan: Plan,
) -> Result<Ending> {
    deploy::add_boot_outlook(cx, &mut plan)?;
    if plan.already_done().is_none() {
        deploy::compare(cx, &mut plan)?;
        cx.note_plan(&plan, &PlanFacts::Deploy(HostResult::planned(&plan).into()));
        deploy::check_before_copy(cx, &plan)?;
    }
    deploy::check_boot(cx, options, &plan)?;
    if options.goal == Goal::Show {
        return Ok(Ending::Planned(plan.into()));
    }
    let receipt = Deployed::begin(flake, &plan);
    let ended = deploy::apply(cx, options, plan);
    if let Some(receipt) = receipt.with_result(&ended) {
        receipt::save(cx, receipt);
    }
    Ok(Ending::Ended(ended?.into()))
}

/// Shows the plan of a dry run.
fn show_planned(cx: &Context, plan: &Plan) -> Result<()> {
    if cx.json {
        return ui::print_json(&DeployResult { hosts: vec![HostResult::planned(plan)] });
    }
    ui::print_result(&plan.summary())
}

fn show(cx: &Context, outcome: &Outcome) -> Result<()> {
    print_remarks(cx, outcome);
    let error = outcome.error();
    let printed = if cx.json {
        ui::print_json(&DeployResult { hosts: vec![HostResult::ended(outcome)] })
    } else if error.is_none() {
        ui::print_verdict(&outcome.summary(), outcome.tone())
    } else {
        Ok(())
    };
    // A failed deploy matters more than a result that cannot be printed.
    error.map_or(printed, Err)
}

/// Prints what the user should know beside the verdict.
pub fn print_remarks(cx: &Context, outcome: &Outcome) {
    outcome.remarks().into_iter().for_each(|remark| cx.note(remark));
}
