//! `deploy HOST`: deploy-rs, and proof that it took.

use anyhow::Result;

use crate::cli::Deploy;
use crate::context::Context;
use crate::deploy::{self, Nodes, Outcome, Overrides, Plan, Target};
use crate::{emulation, flake, nix, ui};

pub fn run(cx: &Context, args: &Deploy) -> Result<()> {
    let plan = gather(cx, args)?;
    let outcome = if let Some(verdict) = plan.already_done() {
        Outcome::unchanged(plan, verdict)
    } else {
        cx.note(plan.to_string());
        deploy::act(cx, plan)?
    };
    show(cx, &outcome)
}

fn gather(cx: &Context, args: &Deploy) -> Result<Plan> {
    let overrides = Overrides::parse(&args.deploy_args)?;
    let version = nix::require(&cx.launcher)?;
    deploy::require(&cx.launcher)?;
    let nodes = Nodes::load(&cx.launcher, &cx.flake, &args.host)?;
    let node = nodes.node.ok_or_else(|| flake::no_node(&cx.flake, &args.host, &nodes.names))?;
    let target = node.target(&cx.launcher, &cx.flake, &args.host, &overrides)?;
    can_build(cx, version, &target)?;
    warn_of_other_profiles(cx, &target);
    let before = deploy::look(cx, &target)?;
    Ok(Plan { target, before, extra: args.deploy_args.clone() })
}

/// Refuses before anything is built where this machine cannot build the profile.
fn can_build(cx: &Context, version: nix::Version, target: &Target) -> Result<()> {
    match &target.platform {
        Some(system) if target.builds_here && !target.path.exists() => {
            emulation::require(cx, version, system)
        }
        _ => Ok(()),
    }
}

fn warn_of_other_profiles(cx: &Context, target: &Target) {
    if !target.other_profiles.is_empty() {
        let names = target.other_profiles.join(", ");
        cx.warn(format!("only the profile 'system' of {} is deployed and proved, not: {names}", target.host));
    }
}

fn show(cx: &Context, outcome: &Outcome) -> Result<()> {
    outcome.remarks().into_iter().for_each(|remark| cx.note(remark));
    let told = if cx.json { ui::result(&outcome.json().to_string()) } else { Ok(()) };
    match outcome.verdict.failure() {
        Some(kind) => Err(kind.error(outcome.summary())),
        None if cx.json => told,
        None => ui::result(&outcome.summary()),
    }
}
