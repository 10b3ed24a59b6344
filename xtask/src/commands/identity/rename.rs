//! `identity rename`: gives the key of a host to its new name.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::name_check;
use crate::base::{Context, HostName, JsonResult, state};
use crate::cli::identity::IdentityRename;
use crate::commands::next_step;
use crate::identity::{self, Identities, NewKeys};
use crate::{bail, failure, ui};

pub fn run(cx: &Context, args: &IdentityRename) -> Result<()> {
    let IdentityRename { old, new, .. } = args;
    let identities = super::identities(cx, &args.keys)?;
    let renaming = Renaming::plan(&identities, old, new)?;
    let is_in_flake = name_check::require_known_host(cx, new, args.yes, &args.nix.nix_args)?;
    state::create_private_folder(&cx.state)?;
    identity::keep_out_of_stores(&cx.launcher, identities.key_folder(new)?.path(), &cx.flake)?;
    let mut change = identities.begin_change()?;
    if Renaming::plan(&identities, old, new)? != renaming {
        bail!(
            Refused, "another run has changed the identity of {old} or {new} meanwhile; nothing was changed";
            hint: "run the command again"
        );
    }
    change.lock_key(old)?;
    change.rename(old, new);
    let keys =
        |key: Option<String>| NewKeys::from([(old.clone(), Vec::new()), (new.clone(), Vec::from_iter(key))]);
    if renaming.known.is_some() {
        change.set_known(keys(renaming.known));
    }
    let is_published = renaming.published.is_some();
    if is_published {
        change.set_published(keys(renaming.published));
    }
    change.commit()?;
    if let Some(file) = identities.published.as_ref().filter(|_| is_published) {
        cx.note(format!("commit {}: it has the new name", file.path().display()));
    }
    cx.note(format!("receipts keep the name of their time: `cargo xtask history {old:#}`"));
    if is_in_flake {
        next_step::after_key(cx, new);
    }
    if cx.json {
        return ui::print_json(&IdentityRenameResult { old_host: old.clone(), host: new.clone() });
    }
    ui::print_result(&format!("renamed the identity of {old} to {new}"))
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct IdentityRenameResult {
    old_host: HostName,
    /// The new name.
    host: HostName,
}

impl JsonResult for IdentityRenameResult {}

/// What is renamed beside the folder of the key.
#[derive(Debug, PartialEq, Eq)]
struct Renaming {
    has_folder: bool,
    known: Option<String>,
    published: Option<String>,
}

impl Renaming {
    /// # Errors
    /// `Usage` for one name, `Refused` where there is no old identity, or a new one already.
    fn plan(identities: &Identities, old: &HostName, new: &HostName) -> Result<Self> {
        if old == new {
            bail!(Usage, "both names are {old}"; hint: "name the old host, then the new one");
        }
        let found = Self::of(identities, old)?;
        if found == (Self { has_folder: false, known: None, published: None }) {
            return Err(failure!(
                Refused, "this project has no key of {old}";
                hint: "`cargo xtask identity list` lists the hosts whose keys it has or knows"
            ));
        }
        let taken = Self::of(identities, new)?;
        // Somebody has renamed the published line already, and this is their commit.
        let is_renamed_line =
            taken.published.is_some() && taken.published == found.published.clone().or(found.known.clone());
        if taken.has_folder || taken.known.is_some() || taken.published.is_some() && !is_renamed_line {
            return Err(failure!(
                Refused, "{new} has an identity already; nothing was changed";
                hint: "`cargo xtask identity list` shows both; remove one by `cargo xtask identity remove HOST`"
            ));
        }
        Ok(found)
    }

    fn of(identities: &Identities, host: &HostName) -> Result<Self> {
        Ok(Self {
            has_folder: identities.key_folder(host)?.path().symlink_metadata().is_ok(),
            known: identities.known_hosts.keys_of(host)?.into_iter().next(),
            published: identities.published_key(host)?.map(|(key, _)| key),
        })
    }
}
