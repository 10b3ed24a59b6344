//! `identity import`: takes over the private key of a host that has one already.

use anyhow::Result;

use super::{ask, name_check, show};
use crate::base::{Context, state};
use crate::cli::identity::{IdentityImport, IdentityOf, KeysArg};
use crate::commands::next_step;
use crate::identity::{self, Adoption, StoredIdentity};

pub fn run(cx: &Context, args: &IdentityImport) -> Result<()> {
    let identities = super::identities(cx, &args.keys)?;
    let folder = identities.key_folder(&args.host)?;
    let key = identity::read_key_file(&cx.launcher, &args.file)?;
    if let Some(warning) = &key.warning {
        cx.warn(warning);
    }
    let known = Some(key.pair.public.line());
    let new = StoredIdentity { host: args.host.clone(), key: Some(key.pair), pending: None, known };
    let adoption = Adoption::plan(&identities, &cx.launcher, new)?;
    let mut is_in_flake = !args.yes.yes;
    if adoption.is_done {
        name_check::warn_of_unused_nix_args(cx, &args.host, &args.nix.nix_args);
    } else {
        is_in_flake = name_check::require_known_host(cx, &args.host, args.yes.yes, &args.nix.nix_args)?;
        if !adoption.losses.is_empty() {
            let losses = adoption.losses.iter().map(|loss| format!("\n  {loss}")).collect::<String>();
            let notice = format!(
                "the key in {} replaces what this project has of {}:{losses}",
                args.file.display(),
                args.host
            );
            ask::confirm_host(&args.host, &notice, args.yes.yes)?;
        }
        state::create_private_folder(&cx.state)?;
        identity::keep_out_of_stores(&cx.launcher, folder.path(), &cx.flake)?;
        identity::adopt(&identities, &cx.launcher, &[adoption])?;
    }
    let keys = KeysArg { identity_dir: args.keys.identity_dir.clone() };
    if is_in_flake {
        next_step::after_key(cx, &args.host);
    }
    show::run(cx, &IdentityOf { host: args.host.clone(), keys })
}
