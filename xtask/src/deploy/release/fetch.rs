//! Fetching the profiles of a release.

use super::Release;
use crate::base::Context;
use crate::deploy::build::{is_built, needs_build};
use crate::deploy::options::DeployOptions;
use crate::deploy::plan::Plan;
use crate::deploy::timings::Timings;
use crate::nix;

/// Fetches, in one run of Nix, all profiles of the `release` that are not in the store yet. Returns one item for each
/// plan, in their order: the error if the profile is still missing, else `None`.
pub fn fetch(
    cx: &Context,
    options: &DeployOptions,
    release: &Release,
    plans: &mut [&mut Plan],
) -> Vec<Option<anyhow::Error>> {
    let wanted = plans.iter().filter(|plan| needs_build(cx, plan)).map(|plan| plan.target.path.clone());
    let wanted = wanted.collect::<Vec<_>>();
    if wanted.is_empty() {
        return plans.iter().map(|_| None).collect();
    }
    let mut timings = Timings::default();
    let fetched = timings.time("fetch", || nix::fetch(cx, &wanted, &nix_args(options)));
    for plan in plans.iter_mut() {
        plan.timings.append(timings.clone());
    }
    let Err(error) = fetched else { return plans.iter().map(|_| None).collect() };
    let lacks = |plan: &Plan| wanted.contains(&plan.target.path) && !is_built(cx, &plan.target);
    let errors =
        plans.iter().map(|plan| lacks(plan).then(|| release.not_fetched_error(&plan.target.path, &error)));
    errors.collect()
}

/// The arguments for Nix: those of the user, and the cache of `--via-cache`, whose paths the cache key may have signed.
fn nix_args(options: &DeployOptions) -> Vec<String> {
    let cache =
        options.cache.iter().flat_map(|cache| ["--extra-substituters".to_owned(), cache.url().to_string()]);
    let key = options.cache_key.iter().filter(|_| options.cache.is_some());
    let key = key.flat_map(|key| ["--extra-trusted-public-keys".to_owned(), key.public().trim().to_owned()]);
    options.nix_args().iter().cloned().chain(cache).chain(key).collect()
}
