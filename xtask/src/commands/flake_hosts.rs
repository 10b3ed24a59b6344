//! Listing the hosts of the flake by their names, for the commands that ask for them.

use anyhow::Result;

use crate::base::failure::{ExitKind, kind};
use crate::base::{Context, HostName, TimeLimit};
use crate::commands::keys;
use crate::commands::known_image::KnownImage;
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

/// What the flake has of a name.
enum LookUp {
    Listed,
    /// The error that says that the flake has no such host.
    Unknown(anyhow::Error),
    /// Why nobody knows.
    Unchecked(String),
}

/// The error that says that the flake has no `host`; `None` where it has, and where nobody knows, of
/// which a note says why.
///
/// # Errors
/// `Interrupted`.
pub fn find_unknown(cx: &Context, host: &HostName, nix_args: &[String]) -> Result<Option<anyhow::Error>> {
    Ok(match look_up(cx, host, nix_args)? {
        LookUp::Listed => None,
        LookUp::Unknown(error) => Some(error),
        LookUp::Unchecked(why) => {
            cx.note(format!("{host} was not looked up in the flake: {why}"));
            None
        }
    })
}

/// Whether the flake has `host`; not where nobody knows.
///
/// # Errors
/// `Interrupted`.
pub fn is_listed(cx: &Context, host: &HostName, nix_args: &[String]) -> Result<bool> {
    Ok(matches!(look_up(cx, host, nix_args)?, LookUp::Listed))
}

/// The `refusal` about a `host` of which this project has nothing; or where the flake has no such host, the error that
/// says so.
pub fn or_unknown(cx: &Context, host: &HostName, refusal: anyhow::Error) -> anyhow::Error {
    match look_up(cx, host, &[]) {
        Ok(LookUp::Unknown(error)) | Err(error) => error,
        Ok(LookUp::Listed | LookUp::Unchecked(_)) => refusal,
    }
}

/// Looks `host` up among the names in the flake, without a build of it.
///
/// # Errors
/// `Interrupted`.
fn look_up(cx: &Context, host: &HostName, nix_args: &[String]) -> Result<LookUp> {
    if let Some(why) = why_not_listed(cx) {
        return Ok(LookUp::Unchecked(why));
    }
    let mut asking = cx.with_flake(cx.flake.clone());
    let listed = keys::protect_without_builds(&mut asking).and_then(|()| list(&mut asking, nix_args, false));
    match listed {
        Ok(listing) => Ok(listing.catalogue.host(host).err().map_or(LookUp::Listed, LookUp::Unknown)),
        Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
        Err(error) => Ok(LookUp::Unchecked(error.to_string().lines().next().unwrap_or_default().to_owned())),
    }
}

/// Why no names can be listed, without asking Nix; `None` where Nix can be asked.
fn why_not_listed(cx: &Context) -> Option<String> {
    if cx.launcher.which("nix").is_none() {
        return Some("there is no nix on PATH".to_owned());
    }
    cx.flake.check().err().map(|error| error.to_string())
}

/// Whether the flake may let a deploy reach `host`, by a node or by a configuration of which one is made; also where
/// nobody knows without the network.
pub fn may_deploy(cx: &Context, host: &HostName) -> bool {
    names_at_hand(cx)
        .is_none_or(|catalogue| catalogue.host(host).is_ok_and(|known| known.deploy_node || known.configured))
}

/// Whether the flake may have an image of `host`; also where nobody knows without the network.
pub fn may_flash(cx: &Context, host: &HostName) -> bool {
    names_at_hand(cx).is_none_or(|catalogue| {
        catalogue.host(host).is_ok_and(|known| !matches!(KnownImage::by_names(known), KnownImage::None))
    })
}

/// The hosts by the names in the flake, for the words of a next step; `None` where nobody knows without the network.
fn names_at_hand(cx: &Context) -> Option<Catalogue> {
    if why_not_listed(cx).is_some() {
        return None;
    }
    let mut asking = cx.with_flake(cx.flake.clone());
    asking.launcher = nix::offline(&asking.launcher);
    keys::protect_without_builds(&mut asking).ok()?;
    Some(list_without_builds(&asking).ok()?.catalogue)
}

/// Lists the hosts without a build: an output that needs one counts as broken.
///
/// # Errors
/// Those of Nix.
pub fn list_without_builds(cx: &Context) -> Result<Listing> {
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
