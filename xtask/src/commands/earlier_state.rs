//! Host keys in the state folder of earlier versions, which belonged to the checkout of the tool and not to the flake.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::base::{Context, project};
use crate::{identity, receipt};

/// Moves the keys of the flake's hosts from there to the state folder of the flake. A key belongs to this flake if a receipt
/// says that a card of its host was flashed from it.
///
/// # Errors
/// Where a key cannot be moved.
pub fn move_keys(cx: &Context) -> Result<()> {
    let Some(earlier) = project::earlier_state_dir().filter(|folder| *folder != cx.state) else {
        return Ok(());
    };
    let flashed = receipt::flashed_hosts(&earlier, &cx.flake).unwrap_or_default();
    for host in flashed.into_iter().collect::<BTreeSet<_>>() {
        if identity::move_key(&earlier, &cx.state, &host)? {
            cx.note(format!("moved the key of {host} from {} to {}", earlier.display(), cx.state.display()));
        }
    }
    Ok(())
}
