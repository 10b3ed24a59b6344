//! Building the profiles of all hosts of one command.

use anyhow::Result;

use super::find_target::find_targets;
use super::options::{DeployOptions, Goal};
use super::plan::Plan;
use super::target::Target;
use super::timings::Timings;
use crate::base::{Context, HostName, failure};
use crate::nix::{self, BuildPlan, StorePath};

/// Builds, in one run of Nix, all profiles that are not in the store yet. Returns one item for each plan, in their
/// order: the error if the build failed and the profile is still missing, else `None`. deploy-rs handles profiles that
/// the host builds. Signs the profiles by the cache key, and lets the cache expect them.
pub fn build(cx: &Context, options: &DeployOptions, plans: &mut [&mut Plan]) -> Vec<Option<anyhow::Error>> {
    let errors = build_profiles(cx, options, plans);
    let is_copied = |plan: &&&mut Plan| {
        plan.target.builds_here && plan.already_done().is_none() && plan.target.path.exists()
    };
    let built = plans.iter().filter(is_copied).map(|plan| plan.target.path.clone()).collect::<Vec<_>>();
    sign(cx, options, &built);
    if let Some(cache) = options.cache.as_ref().filter(|_| options.goal != Goal::Show) {
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
    let unbuilt = plans.iter().filter(|plan| needs_build(cx, plan));
    let wanted = unbuilt.filter_map(|plan| installable(plan)).collect::<Vec<_>>();
    let no_errors = plans.iter().map(|_| None).collect();
    if wanted.is_empty() {
        return no_errors;
    }
    let mut timings = Timings::default();
    let nix_args = nix::keep_unwritable_lock(&cx.launcher, &cx.flake, options.nix_args());
    let built = timings.time("build", || nix::build_all(cx, &wanted, &nix_args));
    for plan in plans.iter_mut() {
        plan.timings.append(timings.clone());
    }
    let Err(error) = built else { return no_errors };
    let error = nix::with_untracked_hint(&cx.launcher, &cx.flake, error);
    let has_failed = |plan: &Plan| {
        let was_wanted = installable(plan).is_some_and(|installable| wanted.contains(&installable));
        was_wanted && !plan.target.path.exists()
    };
    plans.iter().map(|plan| has_failed(plan).then(|| failure::copy(&error))).collect()
}

/// What a build of the profiles of all `hosts` would do. Those that the hosts build themselves are left out.
///
/// # Errors
/// That of the first host that cannot be evaluated, and those of [`nix::plan`].
pub fn plan_build(cx: &Context, options: &DeployOptions, hosts: &[HostName]) -> Result<BuildPlan> {
    let mut installables = Vec::new();
    for found in find_targets(cx, options, hosts) {
        let target = found?.target;
        if target.builds_here {
            installables.push(target.installable(&cx.flake)?);
        }
    }
    let nix_args = nix::keep_unwritable_lock(&cx.launcher, &cx.flake, options.nix_args());
    cx.in_phase("plan", || nix::plan(cx, &installables, &nix_args))
}

/// Whether this machine must build the profile of `plan`.
fn needs_build(cx: &Context, plan: &Plan) -> bool {
    plan.target.builds_here && plan.already_done().is_none() && !is_built(cx, &plan.target)
}

/// Whether the local store has the complete closure of the profile.
fn is_built(cx: &Context, target: &Target) -> bool {
    target.path.exists() && nix::closure(&cx.launcher, &target.path).is_ok()
}
