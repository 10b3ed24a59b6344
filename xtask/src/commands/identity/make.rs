//! `identity make`: makes the key of a host without one.

use anyhow::Result;

use super::{ask, name_check, show};
use crate::bail;
use crate::base::{Context, state};
use crate::cli::identity::IdentityMake;
use crate::commands::next_step;
use crate::identity::{self, Identities, KeyChoice, fingerprint_of};

pub fn run(cx: &Context, args: &IdentityMake) -> Result<()> {
    let identities = super::identities(cx, &args.of.keys)?;
    let folder = identities.key_folder(&args.of.host)?;
    let is_in_flake = if folder.public_key(&cx.launcher)?.is_none() {
        let is_in_flake = name_check::require_known_host(cx, &args.of.host, args.yes, &args.nix.nix_args)?;
        confirm_second_key(&identities, args)?;
        is_in_flake
    } else {
        name_check::warn_of_unused_nix_args(cx, &args.of.host, &args.nix.nix_args);
        !args.yes
    };
    // Git then ignores the state folder, which may be beside the flake.
    state::create_private_folder(&cx.state)?;
    identity::keep_out_of_stores(&cx.launcher, folder.path(), &cx.flake)?;
    folder.choose(&cx.launcher, KeyChoice::Keep)?;
    if is_in_flake {
        next_step::after_key(cx, &args.of.host);
    }
    show::run(cx, &args.of)
}

/// Asks before a host whose key is known, and whose private key is elsewhere, gets another key.
fn confirm_second_key(identities: &Identities, args: &IdentityMake) -> Result<()> {
    let host = &args.of.host;
    let known = identities.known_keys(host)?;
    let Some((key, file)) = known.first() else { return Ok(()) };
    let notice = format!(
        "{host} has the key {} already, by {}, and its private key is not here: a new key is another one, which deploys \
         refuse until the card has it",
        fingerprint_of(key),
        file.display()
    );
    if ask::confirm(&notice, "Make another key?", args.yes)? {
        return Ok(());
    }
    bail!(Refused, "not confirmed; nothing was changed")
}
