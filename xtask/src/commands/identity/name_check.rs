//! Checks that the flake has a host of a name that is about to get a key: a slip would make a key that no card gets.

use anyhow::Result;

use super::ask;
use crate::base::failure::with_hint;
use crate::base::{Context, HostName};
use crate::commands::flake_hosts;
use crate::{bail, failure, ui};

/// Asks whether to go on where the flake has no `host`, unless `yes`. Where the names cannot be listed, notes it. Nix
/// gets `nix_args`. Returns whether the flake may have the host now: not where the user goes on without it.
///
/// # Errors
/// `Usage` where the user cannot be asked, and `Refused` where the user does not want it.
pub fn require_known_host(cx: &Context, host: &HostName, yes: bool, nix_args: &[String]) -> Result<bool> {
    if yes {
        return Ok(false);
    }
    let Some(error) = flake_hosts::find_unknown(cx, host, nix_args)? else { return Ok(true) };
    let message = with_hint(&error);
    if !ui::can_ask() {
        bail!(Usage, "{message}"; hint: "correct the name, or pass --yes if the flake gets this host later");
    }
    if ask::confirm(&message, &format!("Go on with {host}?"), false)? {
        return Ok(false);
    }
    bail!(Refused, "not confirmed; nothing was changed")
}

/// The error for a `host` of which this project has no key; `Usage` where the flake has no such host either.
pub fn no_key_error(cx: &Context, host: &HostName) -> anyhow::Error {
    let refusal = failure!(
        Refused, "this project has no key of {host}";
        hint: "`cargo xtask identity list` lists the hosts whose keys it has or knows"
    );
    flake_hosts::or_unknown(cx, host, refusal)
}

/// Warns that `nix_args` are not used for a `host` whose key is here already: it is not looked up in the flake.
pub fn warn_of_unused_nix_args(cx: &Context, host: &HostName, nix_args: &[String]) {
    if let Some(first) = nix_args.first() {
        cx.warn(format!(
            "`{first}` is not used: the key of {host} is here already, and Nix is not asked for {host}"
        ));
    }
}
