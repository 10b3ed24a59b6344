//! Host keys and receipts of the flake in other state folders: that of the flake before it could hold its state, and
//! those of earlier versions, which belonged to the checkout of the tool.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::base::Context;
use crate::base::project::{self, EarlierState};
use crate::{identity, receipt};

/// Moves what belongs to the flake from there to the state folder of the flake: its receipts and keys. Those of the tool
/// have keys of several flakes: only the hosts whose cards were flashed from this one, by the receipts, are moved.
///
/// # Errors
/// Where something cannot be moved.
pub fn move_to_flake(cx: &Context) -> Result<()> {
    for state in project::earlier_states(&cx.flake, &cx.state) {
        let (earlier, hosts) = match state {
            EarlierState::OfFlake(folder) => (folder.clone(), identity::hosts_with_folders(&folder)),
            EarlierState::OfTool(folder) => {
                let flashed = receipt::flashed_hosts(&folder, &cx.flake).unwrap_or_default();
                (folder, flashed)
            }
        };
        let between = format!("from {} to {}", earlier.display(), cx.state.display());
        for host in hosts.into_iter().collect::<BTreeSet<_>>() {
            if identity::move_key(&earlier, &cx.state, &host)? {
                cx.note(format!("moved the key of {host} {between}"));
            }
        }
        match receipt::move_receipts(&earlier, &cx.state, &cx.flake)? {
            0 => {}
            1 => cx.note(format!("moved 1 receipt {between}")),
            count => cx.note(format!("moved {count} receipts {between}")),
        }
    }
    Ok(())
}
