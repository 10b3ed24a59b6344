//! `identity`: the ssh host keys of hosts, from their making to their backup.

mod ask;
mod backup;
mod cache_key;
mod import;
mod list;
mod make;
mod name_check;
mod publish;
mod remove;
mod rename;
mod restore;
mod show;
mod trust;

#[cfg(test)]
pub use backup::IdentityBackupResult;
#[cfg(test)]
pub use cache_key::IdentityCacheKeyResult;
#[cfg(test)]
pub use list::IdentityListResult;
#[cfg(test)]
pub use publish::IdentityPublishResult;
#[cfg(test)]
pub use remove::IdentityRemoveResult;
#[cfg(test)]
pub use rename::IdentityRenameResult;
#[cfg(test)]
pub use restore::IdentityRestoreResult;
#[cfg(test)]
pub use show::IdentityFacts;
#[cfg(test)]
pub use trust::IdentityTrustResult;

use std::path::Path;

use anyhow::Result;

use crate::base::Context;
use crate::cli::identity::KeysArg;
use crate::cli::{Identity, IdentityCommand};
use crate::identity::Identities;

pub fn run(cx: &Context, args: &Identity) -> Result<()> {
    match &args.command {
        IdentityCommand::List(args) => list::run(cx, args),
        IdentityCommand::Show(args) => show::run(cx, args),
        IdentityCommand::Make(args) => make::run(cx, args),
        IdentityCommand::Import(args) => import::run(cx, args),
        IdentityCommand::Trust(args) => trust::run(cx, args),
        IdentityCommand::Publish(args) => publish::run(cx, args),
        IdentityCommand::Remove(args) => remove::run(cx, args),
        IdentityCommand::Rename(args) => rename::run(cx, args),
        IdentityCommand::Backup(args) => backup::run(cx, args),
        IdentityCommand::Restore(args) => restore::run(cx, args),
        IdentityCommand::CacheKey(args) => cache_key::run(cx, args),
    }
}

/// The identities of the project, with the keys in the folder that the user names.
fn identities(cx: &Context, keys: &KeysArg) -> Result<Identities> {
    finish_interrupted_change(cx, keys.dir())
}

/// Finishes a change of identities that was cut off, with the keys in `dir` where the user names it. Returns the
/// identities.
///
/// # Errors
/// Where the change cannot be finished.
pub fn finish_interrupted_change(cx: &Context, dir: Option<&Path>) -> Result<Identities> {
    let identities = Identities::new(&cx.state, &cx.flake, dir)?;
    if identities.finish_interrupted_change()? {
        cx.note("finished a change of identities that was cut off");
    }
    Ok(identities)
}
