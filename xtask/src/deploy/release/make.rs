//! The hosts of a new release: evaluated, and built.

use anyhow::Result;

use super::ReleasedHost;
use crate::base::{Context, HostName, checks};
use crate::deploy::desired::{Overrides, Purpose};
use crate::deploy::find_target::evaluate_all;
use crate::deploy::gather::{require_build_support, warn_of_parts_left_out};
use crate::deploy::tags::Tags;
use crate::deploy::target::Target;
use crate::nix;
use crate::{bail, failure};

/// A host that a release is to have.
pub struct Candidate {
    target: Target,
}

impl Candidate {
    /// What each of `hosts` is to run, by the flake. `nix_args` are the user's for Nix.
    ///
    /// # Errors
    /// That of the only host that cannot be evaluated, or one that names all of them.
    pub fn evaluate(cx: &Context, hosts: &[HostName], nix_args: &[String]) -> Result<Vec<Self>> {
        let overrides = Overrides { purpose: Purpose::Release, ..Overrides::default() };
        let found = evaluate_all(cx, &overrides, nix_args, hosts).into_iter().map(|(target, _)| target);
        let targets = checks::all_of(found, "hosts cannot be evaluated")?;
        Ok(targets.into_iter().map(|target| Self { target }).collect())
    }

    /// What the file says of the host, which has `tags`. An image is added later.
    pub fn released(&self, tags: &Tags) -> ReleasedHost {
        let Target { host, platform, system, path, settings, .. } = &self.target;
        ReleasedHost {
            host: host.clone(),
            platform: platform.clone(),
            tags: tags.of_host(host),
            system: system.clone(),
            profile: path.clone(),
            node: settings.clone(),
            image: None,
        }
    }

    /// Builds the profiles of all `candidates` in one run of Nix, also those that hosts would build themselves.
    ///
    /// # Errors
    /// `Refused` where this machine cannot build one, and those of the build.
    pub fn build_all(
        cx: &Context,
        version: nix::Version,
        candidates: &[Self],
        nix_args: &[String],
    ) -> Result<()> {
        for Self { target } in candidates {
            require_build_support(cx, nix_args, version, target)?;
            warn_of_parts_left_out(cx, target);
        }
        let installables = candidates.iter().map(|candidate| candidate.target.installable(&cx.flake));
        let installables = installables.collect::<Result<Vec<_>>>()?;
        let nix_args = nix::keep_unwritable_lock(&cx.launcher, &cx.flake, nix_args);
        let ended = nix::build_all(cx, &installables, &nix_args).into_iter().map(|error| {
            error.map_or(Ok(()), |error| Err(nix::with_untracked_hint(&cx.launcher, &cx.flake, error)))
        });
        checks::all_of(ended, "hosts cannot be built")?;
        match candidates.iter().find(|candidate| !candidate.target.path.exists()) {
            None => Ok(()),
            Some(Self { target }) => {
                bail!(Other, "{} was built, and {} is not in the store", target.profile_name(), target.path)
            }
        }
    }
}

/// The refusal of a flake that changed while it was evaluated.
pub fn changed_error(cx: &Context) -> anyhow::Error {
    failure!(
        Refused, "{} changed while it was evaluated: no revision has what was built", cx.flake;
        hint: "commit the changes, and run the command again"
    )
}
