//! Moves host keys and receipts of the flake from other state folders: from that of the flake before it could hold its
//! state, and from those of earlier versions, which belonged to the checkout of the tool.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::base::Context;
use crate::base::project::{self, EarlierState};
use crate::{identity, receipt};

/// Moves the receipts of the flake and the keys of its hosts to the state folder of the flake. The state folder of a
/// tool has keys of several flakes: from there, a key moves only if a receipt shows that a card of its host was flashed
/// from this flake.
///
/// # Errors
/// Where a key or a receipt cannot be moved.
pub fn move_to_flake(cx: &Context) -> Result<()> {
    for state in project::earlier_states(&cx.flake, &cx.state) {
        let (earlier, hosts) = match state {
            EarlierState::OfFlake(folder) => (folder.clone(), identity::hosts_with_folders(&folder)),
            EarlierState::OfTool(folder) => {
                let flashed = receipt::flashed_hosts(&folder, &cx.flake).unwrap_or_default();
                (folder, flashed)
            }
        };
        let route = format!("from {} to {}", earlier.display(), cx.state.display());
        for host in hosts.into_iter().collect::<BTreeSet<_>>() {
            if identity::move_key(&earlier, &cx.state, &host)? {
                cx.note(format!("moved the key of {host} {route}"));
            }
        }
        match receipt::move_receipts(&earlier, &cx.state, &cx.flake)? {
            0 => {}
            1 => cx.note(format!("moved 1 receipt {route}")),
            count => cx.note(format!("moved {count} receipts {route}")),
        }
    }
    Ok(())
}
