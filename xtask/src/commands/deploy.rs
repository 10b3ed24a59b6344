//! `deploy HOST…`: deploys by deploy-rs, and verifies that each host runs the new system.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::base::failure;
use crate::base::{Address, Context, HostName};
use crate::cli::Deploy;
use crate::commands::next_step;
use crate::deploy::{self, Afterwards, Decision, DeployOptions, Ending, Goal, Outcome, Overrides, Plan};
use crate::receipt::{self, Deployed};
use crate::{nix, ui};

pub fn run(cx: &Context, args: &Deploy) -> Result<()> {
    let options = deploy_options(args)?;
    if let Some(decision) = decision(args) {
        return decide(cx, &options, decision, &args.only_host()?);
    }
    let named = deploy::deduplicate(&args.hosts()?);
    let version = nix::require(&cx.launcher)?;
    deploy::require_deploy_rs(&cx.launcher)?;
    let hosts = if args.all { deploy::deployable_hosts(cx, options.nix_args())? } else { named };
    if options.goal != Goal::Show {
        for host in &hosts {
            cx.log.keep_for_host(host);
        }
    }
    match &hosts[..] {
        [host] => deploy_one(cx, &options, version, host),
        _ => deploy_several(cx, &options, version, hosts),
    }
}

fn deploy_options(args: &Deploy) -> Result<DeployOptions> {
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
        overrides: Overrides::parse_with(&args.deploy_args, args.to.as_ref())?,
        extra: args.to.iter().flat_map(Address::deploy_rs_options).chain(args.deploy_args.clone()).collect(),
    })
}

/// The decision about a trial that the command line asks for, instead of a deploy.
fn decision(args: &Deploy) -> Option<Decision> {
    match (args.bless, args.abort_trial) {
        (true, _) => Some(Decision::Bless),
        (false, true) => Some(Decision::Abort),
        (false, false) => None,
    }
}

/// Decides about the trial of `host`. Where that changes something, shows the plan before and keeps a receipt.
fn decide(cx: &Context, options: &DeployOptions, decision: Decision, host: &HostName) -> Result<()> {
    nix::require(&cx.launcher)?;
    let plan = deploy::plan_decision(cx, options, decision, host)?;
    let has_changes = plan.has_changes();
    if has_changes {
        cx.log.keep_for_host(host);
        cx.note(plan.to_string());
    }
    let outcome = deploy::decide(cx, plan)?;
    if has_changes {
        receipt::save(cx, Deployed::of_decision(&cx.flake, &outcome));
    }
    if cx.json { ui::print_json(&outcome.json()) } else { ui::print_result(&outcome.summary()) }
}

fn deploy_one(cx: &Context, options: &DeployOptions, version: nix::Version, host: &HostName) -> Result<()> {
    let found = deploy::find_target(cx, options, host)?;
    let lock = deploy::lock_host(cx, options, host)?;
    let mut plan = deploy::gather(cx, options, version, found, lock)?;
    if let Some(error) = deploy::build(cx, options, &mut [&mut plan]).into_iter().flatten().next() {
        return Err(error);
    }
    match show_and_apply(cx, options, plan)? {
        Ending::Planned(plan) => show_planned(cx, &plan),
        Ending::Ended(outcome) => show(cx, &outcome),
    }
}

fn deploy_several(
    cx: &Context,
    options: &DeployOptions,
    version: nix::Version,
    hosts: Vec<HostName>,
) -> Result<()> {
    let members = deploy::deploy_all(cx, options, version, hosts, |host_cx, plan| {
        let ending = show_and_apply(host_cx, options, plan)?;
        if let Ending::Ended(outcome) = &ending {
            print_remarks(host_cx, outcome);
            host_cx.note(match outcome.error() {
                Some(error) => failure::with_hint(&error),
                None => outcome.summary(),
            });
        }
        Ok(ending)
    })?;
    if cx.json {
        let hosts = members.iter().map(deploy::Member::json).collect::<Value>();
        ui::print_json(&serde_json::json!({ "hosts": hosts }))?;
    } else {
        ui::print_table(&deploy::verdict_table(&members))?;
    }
    deploy::worst_failure(&members).map_or(Ok(()), Err)
}

/// Checks and shows the plan; unless this is a dry run, applies it and keeps a receipt.
fn show_and_apply(cx: &Context, options: &DeployOptions, mut plan: Plan) -> Result<Ending> {
    deploy::add_boot_outlook(cx, &mut plan)?;
    if plan.already_done().is_none() {
        deploy::compare(cx, &mut plan)?;
        cx.note(plan.to_string());
        deploy::check_before_copy(cx, &plan)?;
    }
    deploy::check_boot(cx, options, &plan)?;
    if options.goal == Goal::Show {
        return Ok(Ending::Planned(plan.into()));
    }
    let receipt = Deployed::begin(&cx.flake, &plan);
    let ended = deploy::apply(cx, options, plan);
    if let Some(receipt) = receipt.with_result(&ended) {
        receipt::save(cx, receipt);
    }
    Ok(Ending::Ended(ended?.into()))
}

/// Shows the plan of a dry run.
fn show_planned(cx: &Context, plan: &Plan) -> Result<()> {
    if plan.already_done().is_none() {
        next_step::after_dry_run();
    }
    if cx.json { ui::print_json(&plan.json()) } else { ui::print_result(&plan.summary()) }
}

fn show(cx: &Context, outcome: &Outcome) -> Result<()> {
    print_remarks(cx, outcome);
    let error = outcome.error();
    let printed = if cx.json {
        ui::print_json(&outcome.json())
    } else if error.is_none() {
        ui::print_result(&outcome.summary())
    } else {
        Ok(())
    };
    // A failed deploy matters more than a result that cannot be printed.
    error.map_or(printed, Err)
}

fn print_remarks(cx: &Context, outcome: &Outcome) {
    outcome.remarks().into_iter().for_each(|remark| cx.note(remark));
}
