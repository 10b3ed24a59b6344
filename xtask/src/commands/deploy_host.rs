//! The deploy of one host, for `deploy` and `rollback`: the plan, the proof, the receipt and the verdict.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::bail;
use crate::base::{Address, Context, HostName, JsonResult};
use crate::cli::{CacheArgs, DeployArgs};
use crate::commands::plan_facts::PlanFacts;
use crate::deploy::{
    self, Afterwards, CacheResult, DeployOptions, Ending, Goal, HostResult, Outcome, Overrides, Plan,
    ReleaseMark, ViaCache, Waves,
};
use crate::identity::CacheKey;
use crate::receipt::{self, DeployCommand, Deployed};
use crate::{nix, ui};

/// The options of the command line.
///
/// # Errors
/// `Usage` for options that exclude each other; those of [`cache_key`], and of a cache without a key.
pub fn options(cx: &Context, args: &DeployArgs) -> Result<DeployOptions> {
    args.check_health()?;
    let cache_key = cache_key(cx, args.cache.cache_key.as_deref())?;
    let cache = cache(cx, &args.cache, cache_key.as_ref())?;
    Ok(DeployOptions {
        goal: if args.boot { Goal::Boot } else { Goal::Switch },
        is_dry_run: args.dry_run,
        afterwards: if args.reboot { Afterwards::Reboot } else { Afterwards::Stay },
        wait: args.wait.map(|minutes| Duration::from_secs(minutes * 60)),
        health: args.health.clone(),
        keep_firmware: args.keep_firmware,
        waves: Waves::new(Vec::new(), None),
        cache_key,
        cache,
        overrides: Overrides::parse_with(&args.deploy_args, args.to.as_ref())?,
        release: None,
        extra: args.to.iter().flat_map(Address::deploy_rs_options).chain(args.deploy_args.clone()).collect(),
    })
}

/// The key that signs what is deployed: that in `file`, or in the file that `XTASK_CACHE_KEY` names, or that of the
/// project. `None` where there is none.
///
/// # Errors
/// `Refused` for a file that others can access, or that is no key.
pub fn cache_key(cx: &Context, file: Option<&Path>) -> Result<Option<CacheKey>> {
    let named = file
        .map(Path::to_owned)
        .or_else(|| cx.launcher.env("XTASK_CACHE_KEY").filter(|value| !value.is_empty()).map(PathBuf::from));
    named.map_or_else(|| CacheKey::of_project(&cx.state), |file| CacheKey::read(&file).map(Some))
}

/// The cache that the user names.
///
/// # Errors
/// `Usage` for a URL with a secret; `Refused` without a key: no host would take what is not signed.
fn cache(cx: &Context, args: &CacheArgs, key: Option<&CacheKey>) -> Result<Option<ViaCache>> {
    let Some(url) = &args.via_cache else { return Ok(None) };
    for url in [Some(url), args.push_to.as_ref()].into_iter().flatten() {
        url.require_no_secret()?;
    }
    if key.is_none() {
        bail!(
            Refused, "no key signs what the hosts would fetch from {url}, so they would refuse it";
            hint: "run `cargo xtask identity cache-key`, which makes a key and prints its public half, and let the hosts \
                   trust that; or pass --cache-key FILE"
        );
    }
    Ok(Some(ViaCache::new(cx, url.clone(), args.push_to.clone())))
}

/// Deploys `host` with the flake of `cx`, and shows the verdict, or the plan of a dry run. Receipts name the flake of
/// `command`, of which that of `cx` may be an older revision. `check` gets the path that the host is to run, before the
/// host is asked.
///
/// # Errors
/// Those of `check`, of a deploy and of its verdict.
pub fn run(
    cx: &Context,
    command: DeployCommand,
    options: &DeployOptions,
    version: nix::Version,
    host: &HostName,
    check: impl FnOnce(&str) -> Result<()>,
) -> Result<Ending> {
    let ending = match try_run(cx, command, options, version, host, check) {
        Ok(ending) => ending,
        Err(error) => {
            ui::print_json(&DeployResult::new(options, vec![HostResult::failed(host, &error)]))?;
            return Err(error);
        }
    };
    match &ending {
        Ending::Planned(plan) => show_planned(cx, options, plan)?,
        Ending::NotReached(_) => {}
        Ending::Ended(outcome) => show(cx, options, outcome)?,
    }
    Ok(ending)
}

/// The JSON result of `deploy` and `rollback`.
#[derive(Serialize, JsonSchema)]
pub struct DeployResult {
    /// The release that was deployed; `None` for a deploy of the flake.
    release: Option<ReleaseMark>,
    hosts: Vec<HostResult>,
    /// The cache of the run; `None` without `--via-cache`.
    cache: Option<CacheResult>,
}

impl DeployResult {
    /// The result of a run with `options`.
    pub fn new(options: &DeployOptions, hosts: Vec<HostResult>) -> Self {
        Self { release: options.release_mark(), hosts, cache: options.cache.as_ref().map(ViaCache::result) }
    }
}

impl JsonResult for DeployResult {}

/// Plans the deploy and carries it out.
fn try_run(
    cx: &Context,
    command: DeployCommand,
    options: &DeployOptions,
    version: nix::Version,
    host: &HostName,
    check: impl FnOnce(&str) -> Result<()>,
) -> Result<Ending> {
    let found = deploy::find_target(cx, options, host)?;
    check(found.target.named_path().as_str())?;
    let lock = deploy::lock_host(cx, options, host)?;
    deploy::require_build_support(cx, options.nix_args(), version, &found.target)?;
    let mut plan = deploy::gather(cx, options, version, found, lock)?;
    if let Some(error) = deploy::build(cx, options, &mut [&mut plan]).into_iter().flatten().next() {
        return Err(error);
    }
    show_and_apply(cx, command, options, plan)
}

/// Checks and shows the plan; unless this is a dry run, applies it and keeps a receipt of `command`.
pub fn show_and_apply(
    cx: &Context,
    command: DeployCommand,
    options: &DeployOptions,
    mut plan: Plan,
) -> Result<Ending> {
    deploy::add_boot_outlook(cx, &mut plan)?;
    if plan.already_done().is_none() {
        deploy::compare(cx, &mut plan)?;
        cx.note_plan(&plan, &PlanFacts::Deploy(HostResult::planned(&plan).into()));
        deploy::check_before_copy(cx, &plan)?;
        deploy::warn_of_refused_next_deploy(cx, options, &plan)?;
    }
    deploy::check_boot(cx, options, &plan)?;
    if options.is_dry_run {
        return Ok(Ending::Planned(plan.into()));
    }
    let receipt = Deployed::begin(&command, &plan);
    let ended = deploy::apply(cx, options, plan);
    if let Some(receipt) = receipt.with_result(&ended) {
        receipt::save(cx, receipt);
    }
    Ok(Ending::Ended(ended?.into()))
}

/// Shows the plan of a dry run.
fn show_planned(cx: &Context, options: &DeployOptions, plan: &Plan) -> Result<()> {
    if cx.json {
        return ui::print_json(&DeployResult::new(options, vec![HostResult::planned(plan)]));
    }
    ui::print_result(&plan.summary())
}

fn show(cx: &Context, options: &DeployOptions, outcome: &Outcome) -> Result<()> {
    print_remarks(cx, outcome);
    let error = outcome.error();
    let printed = if cx.json {
        ui::print_json(&DeployResult::new(options, vec![HostResult::ended(outcome)]))
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
