//! Reading the key of a host that is not pinned yet.

use anyhow::Result;

use super::desired::{Overrides, Purpose};
use super::find_target::evaluate;
use super::host;
use crate::base::{Address, Context, HostName};
use crate::identity::KnownKey;

/// The key that a host offers, and where it was asked for.
pub struct OfferedKey {
    pub key: KnownKey,
    /// `USER@HOSTNAME`.
    pub destination: String,
}

/// Evaluates how `host` is reached, at the address `to` if it is given, and reads the key that it offers.
///
/// # Errors
/// `Usage` if the flake has no such host; `Unreachable` and others where ssh cannot connect.
pub fn read_offered_key(
    cx: &Context,
    host: &HostName,
    to: Option<&Address>,
    nix_args: &[String],
) -> Result<OfferedKey> {
    let overrides = Overrides { purpose: Purpose::Key, ..Overrides::of_address(to) };
    let target = evaluate(cx, &overrides, nix_args, host)?;
    let key = cx.in_phase("connect", || host::offered_key(&cx.launcher, host, &target.connection))?;
    Ok(OfferedKey { key, destination: target.connection.destination })
}
