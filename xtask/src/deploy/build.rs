//! Building the profiles of all hosts of one command.

use anyhow::Result;

use super::find_target::find_targets;
use super::options::DeployOptions;
use super::plan::Plan;
use super::release;
use super::target::Target;
use super::timings::Timings;
use crate::base::{Context, HostName};
use crate::nix::{self, BuildPlan, Installable, StorePath, Unplanned};

/// Builds, in one run of Nix, all profiles that are not in the store yet. Returns one item for each plan, in their
/// order: the error if the build failed and the profile is still missing, else `None`. deploy-rs handles profiles that
/// the host builds. Signs the profiles by the cache key, and lets the cache expect them.
pub fn build(cx: &Context, options: &DeployOptions, plans: &mut [&mut Plan]) -> Vec<Option<anyhow::Error>> {
    let errors = match &options.release {
        Some(release) => release::fetch(cx, options, release, plans),
        None => build_profiles(cx, options, plans),
    };
    let is_copied = |plan: &&&mut Plan| {
        plan.target.builds_here && plan.already_done().is_none() && plan.target.path.exists()
    };
    let built = plans.iter().filter(is_copied).map(|plan| plan.target.path.clone()).collect::<Vec<_>>();
    sign(cx, options, &built);
    if let Some(cache) = options.cache.as_ref().filter(|_| !options.is_dry_run) {
        for path in &built {
            cache.expect(path);
        }
    }
    errors
}

/// Signs the closures of the profiles `built`, if there is a key. A failure is a warning: hosts that trust the user
/// take what is not signed, and others say that they do not.
fn sign(cx: &Context, options: &DeployOptions, built: &[StorePath]) {
    let Some(key) = options.cache_key.as_ref().filter(|_| !built.is_empty()) else { return };
    if let Err(error) = nix::sign(&cx.launcher, key.secret().reveal(), built) {
        cx.warn(format!("what is deployed could not be signed by the cache key {}: {error:#}", key.name()));
    }
}

/// Builds the profiles of `plans`, as [`build`] says.
fn build_profiles(
    cx: &Context,
    options: &DeployOptions,
    plans: &mut [&mut Plan],
) -> Vec<Option<anyhow::Error>> {
    // deploy-rs reports a profile that no installable can name.
    let installable = |plan: &Plan| plan.target.installable(&cx.flake).ok();
    let wanted =
        plans.iter().map(|plan| installable(plan).filter(|_| needs_build(cx, plan))).collect::<Vec<_>>();
    let installables = wanted.iter().flatten().cloned().collect::<Vec<_>>();
    if installables.is_empty() {
        nix::note_idle_builders(cx, options.nix_args());
        return plans.iter().map(|_| None).collect();
    }
    let mut timings = Timings::default();
    let nix_args = nix::keep_unwritable_lock(&cx.launcher, &cx.flake, options.nix_args());
    let errors = timings.time("build", || nix::build_all(cx, &installables, &nix_args));
    for plan in plans.iter_mut() {
        plan.timings.append(timings.clone());
    }
    let mut errors = errors.into_iter();
    let error_of = |(plan, wanted): (&&mut Plan, Option<Installable>)| {
        let error = wanted.and_then(|_| errors.next().flatten())?;
        let is_missing = !plan.target.path.exists();
        is_missing.then(|| nix::with_untracked_hint(&cx.launcher, &cx.flake, error))
    };
    plans.iter().zip(wanted).map(error_of).collect()
}

/// What a build of the profiles of `hosts` would do, and the hosts that cannot be evaluated, with their errors. The
/// profiles that the hosts build themselves are left out.
///
/// # Errors
/// Those of [`nix::plan`].
pub fn plan_build(
    cx: &Context,
    options: &DeployOptions,
    hosts: &[HostName],
) -> Result<(BuildPlan, Vec<Unplanned>)> {
    let mut installables = Vec::new();
    let mut unplanned = Vec::new();
    for (host, found) in hosts.iter().zip(find_targets(cx, options, hosts)) {
        match found.and_then(|found| installable_here(cx, &found.target)) {
            Ok(installable) => installables.extend(installable),
            Err(error) => unplanned.push(Unplanned { host: host.clone(), error }),
        }
    }
    let nix_args = nix::keep_unwritable_lock(&cx.launcher, &cx.flake, options.nix_args());
    let plan = cx.in_phase("plan", || nix::plan(cx, &installables, &nix_args))?;
    Ok((plan, unplanned))
}

/// What is built here for `target`; `None`, with a note, where the host builds its profile itself.
fn installable_here(cx: &Context, target: &Target) -> Result<Option<Installable>> {
    if target.builds_here {
        return target.installable(&cx.flake).map(Some);
    }
    cx.note(format!("{} builds its profile itself: the plan leaves it out", target.host));
    Ok(None)
}

/// Whether this machine must build the profile of `plan`.
pub(super) fn needs_build(cx: &Context, plan: &Plan) -> bool {
    plan.target.builds_here && plan.already_done().is_none() && !is_built(cx, &plan.target)
}

/// Whether the local store has the complete closure of the profile.
pub(super) fn is_built(cx: &Context, target: &Target) -> bool {
    target.path.exists() && nix::closure(&cx.launcher, &target.path).is_ok()
}
