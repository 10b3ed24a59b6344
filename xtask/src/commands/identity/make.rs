//! `identity make`: makes the key of a host without one.

use anyhow::Result;

use super::{name_check, show};
use crate::base::{Context, state};
use crate::cli::identity::IdentityMake;
use crate::identity::{self, KeyChoice, KeyFolder};

pub fn run(cx: &mut Context, args: &IdentityMake) -> Result<()> {
    let folder = KeyFolder::new(&cx.state, &args.of.host, args.of.keys.dir())?;
    if folder.public_key(&cx.launcher)?.is_none() {
        name_check::require_known_host(cx, &args.of.host, args.yes)?;
    }
    // Git then ignores the state folder, which may be beside the flake.
    state::create_private_folder(&cx.state)?;
    identity::keep_out_of_stores(&cx.launcher, &folder, &cx.flake)?;
    folder.choose(&cx.launcher, KeyChoice::Keep)?;
    show::run(cx, &args.of)
}
