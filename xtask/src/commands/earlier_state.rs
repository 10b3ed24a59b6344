//! Host keys and receipts in the state folder of earlier versions, which belonged to the checkout of the tool and not
//! to the flake.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::base::{Context, project};
use crate::{identity, receipt};

/// Moves what belongs to the flake from there to the state folder of the flake: its receipts, and the keys of the hosts
/// whose cards were flashed from it, by these receipts.
///
/// # Errors
/// Where something cannot be moved.
pub fn move_to_flake(cx: &Context) -> Result<()> {
    for earlier in project::earlier_state_dirs().into_iter().filter(|folder| *folder != cx.state) {
        let between = format!("from {} to {}", earlier.display(), cx.state.display());
        let flashed = receipt::flashed_hosts(&earlier, &cx.flake).unwrap_or_default();
        for host in flashed.into_iter().collect::<BTreeSet<_>>() {
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
