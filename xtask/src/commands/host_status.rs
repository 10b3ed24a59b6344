//! The status of hosts with their receipts, which `status` and `up` show.

use std::cmp::Reverse;

use anyhow::Result;

use crate::base::{Context, HostName};
use crate::deploy::{self, DesiredBy, History, KeptConnections, Overrides, Status};
use crate::receipt::{self, Receipt};

/// Reads the state of `hosts`; `desired` says what they are to run. `receipts` begin with the newest. Hosts are asked
/// over the connections that are `kept`, if any are to be.
///
/// # Errors
/// `Interrupted` if the user stops it.
pub fn read(
    cx: &Context,
    receipts: &[Receipt],
    hosts: Vec<HostName>,
    overrides: &Overrides,
    desired: DesiredBy,
    kept: Option<&KeptConnections>,
) -> Result<Vec<Status>> {
    cx.in_phase("query", || {
        deploy::statuses(cx, hosts, overrides, desired, kept, |host| last_receipts(receipts, host))
    })
}

/// The last flash and the last deploy of `host` that changed something, the older one first; without such a deploy, the
/// last that found the host as desired. `receipts` begin with the newest.
fn last_receipts(receipts: &[Receipt], host: &HostName) -> History {
    let position = |is_wanted: fn(&Receipt) -> bool| {
        receipts.iter().position(|receipt| receipt.host() == Some(host) && is_wanted(receipt))
    };
    let flash = position(|receipt| matches!(receipt, Receipt::Flash(_)));
    let real_deploy = position(|receipt| matches!(receipt, Receipt::Deploy(deploy) if !deploy.is_no_op()));
    let deploy = real_deploy.or_else(|| position(|receipt| matches!(receipt, Receipt::Deploy(_))));
    let mut positions = flash.into_iter().chain(deploy).collect::<Vec<_>>();
    // A greater position is an older receipt.
    positions.sort_unstable_by_key(|position| Reverse(*position));
    let found = positions.into_iter().map(|position| &receipts[position]).collect::<Vec<_>>();
    let last = found.last().map(|receipt| receipt.summary());
    let deployed = deploy.and_then(|at| match &receipts[at] {
        Receipt::Deploy(deployed) => Some(deployed),
        _ => None,
    });
    History {
        last,
        has_failed: deployed.is_some_and(|deployed| deployed.exit_code != 0),
        is_stopped: deployed.is_some_and(|deployed| deployed.is_stopped),
        rollback: receipt::past_rollback(receipts, host),
    }
}
