//! `rollback HOST [TO]`: deploys what an older receipt says, by its git revision.

use std::fmt;
use std::path::Path;

use anyhow::Result;

use super::{deploy_host, flake_hosts, keys, next_step};
use crate::base::failure::kind;
use crate::base::{Context, FlakeRef, HostName, Plain};
use crate::cli::Rollback;
use crate::commands::recorded_revision::{self, Remedies};
use crate::nix::{self, Revision};
use crate::receipt::{self, DeployCommand, RecordedSystem};
use crate::{bail, deploy, failure};

pub fn run(cx: &Context, args: &Rollback) -> Result<()> {
    let options = deploy_host::options(cx, &args.how)?;
    let version = nix::require(&cx.launcher)?;
    deploy::require_deploy_rs(&cx.launcher)?;
    let chosen = Chosen::find(cx, &args.host, args.wanted.as_deref());
    let chosen = chosen.map_err(|error| unknown_host_error(cx, &args.host).unwrap_or(error))?;
    let mut pinned = cx.with_flake(chosen.pinned.clone());
    keys::check_inputs(&mut pinned, options.nix_args())?;
    if !options.is_dry_run {
        cx.log.keep_for_host(&args.host);
    }
    cx.note(chosen.to_string());
    let check = |desired: &str| chosen.check(desired);
    let ending =
        deploy_host::run(&pinned, DeployCommand::rollback(&cx.flake), &options, version, &args.host, check)?;
    let present = Revision::of(&cx.launcher, &cx.flake);
    next_step::after_rollback(&args.host, &chosen.revision, present.as_ref(), &ending);
    Ok(())
}

/// What is deployed.
struct Chosen {
    host: HostName,
    /// The flake at the revision.
    pinned: FlakeRef,
    revision: Revision,
    /// The receipt; `None` for a revision that the user names.
    recorded: Option<RecordedSystem>,
}

impl Chosen {
    /// The system that `wanted` names: a receipt of `host`, or else a revision. Without it, the system before the
    /// present one.
    ///
    /// # Errors
    /// `Refused` for a receipt that leads to no system or to no revision, and for a missing revision.
    fn find(cx: &Context, host: &HostName, wanted: Option<&str>) -> Result<Self> {
        let systems = receipt::recorded_systems(cx, &cx.flake, host)?;
        let recorded = match wanted {
            None => Some(earlier_system(cx, host, &systems)?.clone()),
            Some(word) => find_receipt(cx, host, word, &systems)?,
        };
        let revision = match (&recorded, wanted) {
            (Some(system), _) => {
                recorded_revision::of_receipt(cx, host, system, &remedies(host, Some(system)))?
            }
            (None, word) => named_revision(cx, host, word.unwrap_or_default())?,
        };
        let pinned = cx.flake.at_revision(&revision.rev, revision.url.as_deref())?;
        Ok(Self { host: host.clone(), pinned, revision, recorded })
    }

    /// Fails where the revision builds `desired`, and the receipt names another system. What a user names as a revision
    /// may differ.
    ///
    /// # Errors
    /// `Refused`.
    fn check(&self, desired: &str) -> Result<()> {
        let Some(recorded) = self.recorded.as_ref().filter(|recorded| recorded.differs_from(desired)) else {
            return Ok(());
        };
        let named = recorded.system.as_deref().unwrap_or_default();
        bail!(
            Refused, "{} builds {}, and {} names {}",
            Plain(&self.pinned), Plain(desired), receipt_name(recorded), Plain(named);
            hint: "the arguments for Nix were others then: repeat them behind `-- --`, or deploy what the revision builds now \
                   with `cargo xtask rollback {} {}`", self.host, self.revision.short()
        )
    }
}

impl fmt::Display for Chosen {
    /// `rollback of stinky to receipt 12: deployed 2026-11-25 12:00 UTC, at 1a2b3c4d5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, revision, recorded, .. } = self;
        match recorded {
            Some(system) => {
                let RecordedSystem { verb, when, .. } = system;
                let name = receipt_name(system);
                write!(f, "rollback of {host} to {name}: {verb} {when}, at {}", revision.short())
            }
            None => write!(f, "rollback of {host} to the revision {}", revision.short()),
        }
    }
}

/// The revision that the user names by `word`, for which no receipt was found.
///
/// # Errors
/// Those of [`recorded_revision::named`].
fn named_revision(cx: &Context, host: &HostName, word: &str) -> Result<Revision> {
    let remedies = if has_receipts(cx, host)? { remedies(host, None) } else { only_revisions(host) };
    recorded_revision::named(cx, word, "TO", &remedies).map_err(|error| match word.parse::<u64>() {
        Ok(number) => {
            kind(&error).error_with_hint_of(format!("{host} has no receipt {number}, and {error}"), &error)
        }
        Err(_) => error,
    })
}

/// Whether `history` lists a receipt of `host`.
fn has_receipts(cx: &Context, host: &HostName) -> Result<bool> {
    Ok(receipt::read_numbered(cx)?.iter().any(|numbered| numbered.receipt.host() == Some(host)))
}

/// The error for a `host` that neither the flake nor a receipt knows; `None` for one that is known, and where the flake
/// does not say.
fn unknown_host_error(cx: &Context, host: &HostName) -> Option<anyhow::Error> {
    if has_receipts(cx, host).unwrap_or(true) {
        return None;
    }
    let listing = flake_hosts::list_without_builds(&cx.with_flake(cx.flake.clone())).ok()?;
    listing.catalogue.host(host).err()
}

/// `receipt 12`.
fn receipt_name(system: &RecordedSystem) -> String {
    system.number.map_or_else(|| "its receipt".to_owned(), |number| format!("receipt {number}"))
}

/// The system before the present one, by `systems`, the newest first.
fn earlier_system<'a>(
    cx: &Context,
    host: &HostName,
    systems: &'a [RecordedSystem],
) -> Result<&'a RecordedSystem> {
    let mut known = systems.iter().filter(|system| system.system.is_some());
    let Some(present) = known.next() else {
        return Err(only_revisions(host).unknown_error(
            &cx.flake,
            format!(
                "no receipt names a system of {host}: no flash and no deploy of it was made from {} here",
                cx.flake
            ),
        ));
    };
    let earlier = known.find(|system| system.system != present.system);
    earlier.ok_or_else(|| {
        let name = Plain(present.system.as_deref().unwrap_or_default());
        let why = format!("no receipt names a system of {host} before {name}");
        only_revisions(host).unknown_error(&cx.flake, why)
    })
}

/// The receipt of `host` whose number is `word`, which names a system in `systems`; `None` where no receipt has that
/// number.
///
/// # Errors
/// `Refused` for the receipt of an operation after which the host did not have the system.
fn find_receipt(
    cx: &Context,
    host: &HostName,
    word: &str,
    systems: &[RecordedSystem],
) -> Result<Option<RecordedSystem>> {
    let Ok(number) = word.parse::<u64>() else { return Ok(None) };
    if let Some(system) = systems.iter().find(|system| system.number == Some(number)) {
        return Ok(Some(system.clone()));
    }
    let all = receipt::read_numbered(cx)?;
    let is_meant = |numbered: &&receipt::Numbered| {
        numbered.number == Some(number) && numbered.receipt.host() == Some(host)
    };
    match all.iter().find(is_meant) {
        None => Ok(None),
        Some(numbered) => Err(failure!(
            Refused, "receipt {number} names no system that {host} had: {}", numbered.receipt;
            hint: "name another receipt, as `cargo xtask history {host}` lists them"
        )),
    }
}

/// [`remedies`] where no other receipt leads to an earlier system of `host` either.
fn only_revisions(host: &HostName) -> Remedies {
    let unknown = format!("name a revision of the flake: `cargo xtask rollback {host} REV`");
    Remedies { unknown, ..remedies(host, None) }
}

/// What a user can do where a receipt of `host` leads to no revision.
fn remedies(host: &HostName, system: Option<&RecordedSystem>) -> Remedies {
    Remedies {
        unknown: format!(
            "name a revision with `cargo xtask rollback {host} REV`, or another receipt, as `cargo xtask history {host}` lists \
             them"
        ),
        no_repository:
            "keep the flake in a git repository: `rollback` goes back to the revisions of deploys from there"
                .to_owned(),
        without_changes: |host, rev| {
            format!("run `cargo xtask rollback {host} {rev}` for that commit without the changes")
        },
        otherwise: system.and_then(RecordedSystem::nixos_system).map(by_hand).unwrap_or_default(),
    }
}

/// How a user switches to `system` without a deploy and without its proof, where a store still has it.
fn by_hand(system: &str) -> String {
    let where_it_is = if Path::new(system).exists() {
        "is in the store of this machine"
    } else {
        "may be on the host still"
    };
    format!(
        "; the system itself {where_it_is}, and without the proof of a deploy the host switches to it by `sudo nix-env \
         --profile /nix/var/nix/profiles/system --set {0}` and `sudo {0}/bin/switch-to-configuration switch`",
        Plain(system)
    )
}
