//! `deploy HOST…`: deploys by deploy-rs, and verifies that each host runs the new system.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::base::failure;
use crate::base::{Address, Context, HostName};
use crate::cli::Deploy;
use crate::deploy::{self, Afterwards, Decision, DeployOptions, Ending, Goal, Outcome, Overrides, Plan};
use crate::receipt::{self, Deployed};
use crate::{nix, ui};

pub fn run(cx: &Context, args: &Deploy) -> Result<()> {
    let options = options(args)?;
    if let Some(decision) = decision(args) {
        return decide(cx, &options, decision, &args.only_host()?);
    }
    let named = deploy::deduplicate(&args.hosts()?);
    let version = nix::require(&cx.launcher)?;
    deploy::require_deploy_rs(&cx.launcher)?;
    let hosts = if args.all { deploy::deployable_hosts(cx, options.nix_args())? } else { named };
    match &hosts[..] {
        [host] => deploy_one(cx, &options, version, host),
        _ => deploy_several(cx, &options, version, hosts),
    }
}

fn options(args: &Deploy) -> Result<DeployOptions> {
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

fn decision(args: &Deploy) -> Option<Decision> {
    let abort = args.abort_trial.then_some(Decision::Abort);
    args.bless.then_some(Decision::Bless).or(abort)
}

/// Decides about the trial of `host`: shows the plan, carries it out, and keeps a receipt.
fn decide(cx: &Context, options: &DeployOptions, decision: Decision, host: &HostName) -> Result<()> {
    nix::require(&cx.launcher)?;
    let plan = deploy::plan_decision(cx, options, decision, host)?;
    let has_changes = plan.has_changes();
    if has_changes {
        cx.note(plan.to_string());
    }
    let outcome = deploy::decide(cx, plan)?;
    if has_changes {
        receipt::save(cx, Deployed::of_decision(&cx.flake, &outcome));
    }
    if cx.json { ui::json(&outcome.json()) } else { ui::result(&outcome.summary()) }
}

fn deploy_one(cx: &Context, options: &DeployOptions, version: nix::Version, host: &HostName) -> Result<()> {
    let found = deploy::find_target(cx, options, host)?;
    let lock = deploy::lock_host(cx, options, host)?;
    let mut plan = deploy::gather(cx, options, version, found, lock)?;
    if let Some(error) = deploy::build(cx, options, &mut [&mut plan]).into_iter().flatten().next() {
        return Err(error);
    }
    match apply(cx, options, plan)? {
        Ending::Planned(plan) if cx.json => ui::json(&plan.json()),
        Ending::Planned(plan) => ui::result(&plan.summary()),
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
        let ending = apply(host_cx, options, plan)?;
        if let Ending::Ended(outcome) = &ending {
            print_remarks(host_cx, outcome);
            host_cx
                .note(outcome.error().map_or_else(|| outcome.summary(), |error| failure::with_hint(&error)));
        }
        Ok(ending)
    })?;
    if cx.json {
        ui::json(&members.iter().map(deploy::Member::json).collect::<Value>())?;
    } else {
        ui::table(&deploy::verdict_table(&members))?;
    }
    deploy::worst_failure(&members).map_or(Ok(()), Err)
}

/// Shows the plan; unless this is a dry run, applies it and keeps a receipt.
fn apply(cx: &Context, options: &DeployOptions, mut plan: Plan) -> Result<Ending> {
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

fn show(cx: &Context, outcome: &Outcome) -> Result<()> {
    print_remarks(cx, outcome);
    let printed = if cx.json { ui::json(&outcome.json()) } else { Ok(()) };
    match outcome.error() {
        Some(error) => Err(error),
        None if cx.json => printed,
        None => ui::result(&outcome.summary()),
    }
}

fn print_remarks(cx: &Context, outcome: &Outcome) {
    outcome.remarks().into_iter().for_each(|remark| cx.note(remark));
}
