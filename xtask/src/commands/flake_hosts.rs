//! Listing the hosts of the flake by their names, for the commands that ask for them.

use anyhow::Result;

use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, HostName, TimeLimit};
use crate::commands::keys;
use crate::nix;
use crate::nix::flake::Catalogue;
use crate::nix::{EvalCache, Fingerprint};

/// The longest time that Nix may take to name the hosts for the completion of a command line.
const COMPLETION_LIMIT: TimeLimit = TimeLimit::from_seconds(2);

/// The hosts of the flake.
pub struct Listing {
    pub catalogue: Catalogue,
    /// The fingerprint of the flake, which leads to earlier evaluations; `None` where none are in the cache.
    pub fingerprint: Option<Fingerprint>,
}

/// Lists the hosts. If that needs a build, protects the keys of hosts from builds, and lists the hosts again. The keys
/// are protected already if `evaluates`: the configurations are evaluated too. `options` are the user's arguments for
/// Nix.
pub fn list(cx: &mut Context, options: &[String], evaluates: bool) -> Result<Listing> {
    let listing = list_once(cx, options, evaluates);
    let needs_build = match &listing {
        Ok(listing) => listing.catalogue.broken.iter().any(|broken| nix::is_forbidden_build(&broken.error)),
        Err(error) => nix::is_forbidden_build(error),
    };
    if !needs_build || evaluates || cx.launcher.protects_keys() {
        return listing.map_err(|error| refused_input(cx, options).unwrap_or(error));
    }
    keys::protect(cx, None, options)?;
    list_once(cx, options, evaluates)
}

/// The error that says that the flake has no `host`; `None` where it has, and where nobody knows, of
/// which a note says why.
///
/// # Errors
/// `Interrupted`.
pub fn find_unknown(cx: &mut Context, host: &HostName, nix_args: &[String]) -> Result<Option<anyhow::Error>> {
    let unchecked = |cx: &Context, why: &str| {
        cx.note(format!("{host} was not looked up in the flake: {why}"));
    };
    if cx.launcher.which("nix").is_none() {
        unchecked(cx, "there is no nix on PATH");
        return Ok(None);
    }
    if let Err(error) = cx.flake.check() {
        unchecked(cx, &error.to_string());
        return Ok(None);
    }
    let listed = keys::protect_without_builds(cx).and_then(|()| list(cx, nix_args, false));
    match listed {
        Ok(listing) => Ok(listing.catalogue.host(host).err()),
        Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
        Err(error) => {
            let first = error.to_string();
            unchecked(cx, first.lines().next().unwrap_or_default());
            Ok(None)
        }
    }
}

/// Lists the hosts without a build: an output that needs one counts as broken.
///
/// # Errors
/// Those of Nix.
pub fn list_without_builds(cx: &mut Context) -> Result<Listing> {
    list_once(cx, &nix::with_keep_lock(&[]), false)
}

/// The refusal of an input that names the keys of hosts, which explains why the evaluation failed; `None` where it
/// failed for another reason.
fn refused_input(cx: &mut Context, options: &[String]) -> Option<anyhow::Error> {
    keys::check_inputs(cx, options).err().filter(|error| kind(error) == ExitKind::Refused)
}

/// Lists the hosts by the evaluation of an earlier run, if the cache has it. Starts Nix once: for the names, or for the
/// fingerprint that leads into the cache.
fn list_once(cx: &Context, options: &[String], evaluates: bool) -> Result<Listing> {
    let cache = EvalCache::new(&cx.state);
    let may_be_cached = !evaluates && nix::is_cacheable(options) && cache.exists();
    cx.in_phase("evaluate", || {
        let fingerprint = if may_be_cached { Fingerprint::of(&cx.launcher, &cx.flake) } else { None };
        let catalogue = match &fingerprint {
            Some(fingerprint) => Catalogue::get_or_read(&cx.launcher, &cx.flake, &cache, fingerprint),
            None => Catalogue::read(&cx.launcher, &cx.flake, options),
        };
        Ok(Listing { catalogue: catalogue?, fingerprint })
    })
}

/// The names of the hosts within a few seconds, for the completion of a command line: by the evaluation of an earlier
/// run, or by one that neither builds nor downloads.
///
/// # Errors
/// Those of [`keys::protect_without_builds`] and of Nix.
pub fn names_at_once(cx: &mut Context) -> Result<Vec<HostName>> {
    // The completion reports nothing: an input that names the keys is found by the command itself.
    keys::protect_without_builds(cx)?;
    cx.launcher = cx.launcher.clone().limiting_evaluations(COMPLETION_LIMIT);
    let cache = EvalCache::new(&cx.state);
    let fingerprint = cache.exists().then(|| Fingerprint::of(&cx.launcher, &cx.flake)).flatten();
    let catalogue = Catalogue::get_or_read_at_once(&cx.launcher, &cx.flake, &cache, fingerprint.as_ref())?;
    Ok(catalogue.hosts().map(|host| host.name.clone()).collect())
}
