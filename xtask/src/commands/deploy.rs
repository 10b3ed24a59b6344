//! `deploy HOST…`: deploys by deploy-rs, and verifies that each host runs the new system.

use anyhow::Result;

use super::plan_facts::PlanFacts;
use crate::base::{Context, HostName, Tone};
use crate::cli::Deploy;
use crate::commands::build_plan;
use crate::commands::deploy_host::{self, DeployResult};
use crate::commands::{next_step, release_file};
use crate::deploy::{self, Decision, DeployOptions, Ending, HostResult, Tags, Waves};
use crate::receipt::{self, DeployCommand, Deployed};
use crate::{bail, nix, ui};

pub fn run(cx: &Context, args: &Deploy) -> Result<()> {
    let waves = Waves::new(args.waves.clone(), args.max_failures);
    waves.check()?;
    let options = DeployOptions { waves, ..deploy_host::options(cx, &args.how)? };
    if let Some(decision) = decision(args) {
        return decide(cx, &options, decision, &args.only_host()?);
    }
    let named = deploy::deduplicate(&args.hosts()?);
    let release = release_file::open(cx, &args.from)?;
    if release.is_some() && options.overrides.remote_build {
        bail!(
            Usage, "--remote-build cannot be passed with --release: the host has nothing to build";
            hint: "leave out --remote-build"
        );
    }
    let options = DeployOptions { release, ..options };
    let version = nix::require(&cx.launcher)?;
    if !args.plan {
        deploy::require_deploy_rs(&cx.launcher)?;
    }
    let hosts = choose_by_tags(cx, args, &options, all_or_named(cx, &options, named)?)?;
    args.check_address(hosts.len())?;
    if args.plan {
        return build_plan::show_deploy(cx, &options, &hosts);
    }
    match &hosts[..] {
        [host] => {
            if !options.is_dry_run {
                cx.log.keep_for_host(host);
            }
            let ending =
                deploy_host::run(cx, DeployCommand::deploy(&cx.flake), &options, version, host, |_| Ok(()))?;
            next_step::after_deploy(&release_file::options(&args.from), [&ending]);
            Ok(())
        }
        _ => deploy_several(cx, args, &options, version, hosts),
    }
}

/// The hosts that the user names, or else all of the release or of the flake.
fn all_or_named(cx: &Context, options: &DeployOptions, named: Vec<HostName>) -> Result<Vec<HostName>> {
    match &options.release {
        _ if !named.is_empty() => Ok(named),
        Some(release) => Ok(release.names()),
        None => deploy::deployable_hosts(cx, options.nix_args(), true),
    }
}

/// Those of `hosts` that have a wanted tag, the canaries first where there are waves.
fn choose_by_tags(
    cx: &Context,
    args: &Deploy,
    options: &DeployOptions,
    hosts: Vec<HostName>,
) -> Result<Vec<HostName>> {
    if args.on.is_empty() && args.waves.is_empty() {
        return Ok(hosts);
    }
    let tags = match &options.release {
        Some(release) => release.tags(),
        None => cx.in_phase("evaluate", || Tags::read(cx, &hosts, options.nix_args()))?,
    };
    let mut chosen = tags.choose(hosts, &args.on)?;
    if !args.waves.is_empty() {
        tags.canaries_first(&mut chosen);
    }
    Ok(chosen)
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
        cx.note_plan(&plan, &PlanFacts::Decision(HostResult::undecided(&plan).into()));
    }
    let outcome = deploy::decide(cx, plan)?;
    if has_changes {
        receipt::save(cx, Deployed::of_decision(&cx.flake, &outcome));
    }
    if cx.json {
        return ui::print_json(&DeployResult::new(options, vec![HostResult::decided(&outcome)]));
    }
    ui::print_verdict(&outcome.summary(), Tone::Good)
}

fn deploy_several(
    cx: &Context,
    args: &Deploy,
    options: &DeployOptions,
    version: nix::Version,
    hosts: Vec<HostName>,
) -> Result<()> {
    let members = deploy::deploy_all(cx, options, version, hosts, |host_cx, plan| {
        let ending = deploy_host::show_and_apply(host_cx, DeployCommand::deploy(&cx.flake), options, plan)?;
        if let Ending::Ended(outcome) = &ending {
            deploy_host::print_remarks(host_cx, outcome);
            match outcome.error() {
                Some(error) => host_cx.warn_of(&error),
                None => host_cx.reporter.report(&outcome.event()),
            }
        }
        Ok(ending)
    })?;
    if let Some(text) = deploy::cache_text(&members) {
        cx.note(text);
    }
    if cx.json {
        let hosts = members.iter().map(HostResult::of_member).collect();
        ui::print_json(&DeployResult::new(options, hosts))?;
    } else {
        ui::print_table(&deploy::verdict_table(&members))?;
    }
    next_step::after_deploy(
        &release_file::options(&args.from),
        members.iter().filter_map(|member| member.result.as_ref().ok()),
    );
    deploy::worst_failure(&members).map_or(Ok(()), Err)
}
