//! Moving the receipts of a flake from one state folder to another.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{FOLDER, Receipt, store};
use crate::base::FlakeRef;

/// Moves the receipts of `flake` from the state folder `from` to `to`, and returns how many there were. They are older
/// than any other, so they stay where `to` has receipts already.
///
/// # Errors
/// Where a receipt cannot be written or removed.
pub fn move_receipts(from: &Path, to: &Path, flake: &FlakeRef) -> Result<usize> {
    let [source, target] = [from, to].map(|state| state.join(FOLDER));
    if store::newest_first(&target)?.next().is_some() {
        return Ok(0);
    }
    let mut own = Vec::new();
    let mut receipts = store::newest_first(&source)?;
    while let Some((name, receipt)) = receipts.next_named() {
        own.extend(is_of(&receipt, flake).then_some((name, receipt)));
    }
    for (name, receipt) in own.iter().rev() {
        store::write(&target, receipt)?;
        let old = source.join(name);
        fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
    }
    Ok(own.len())
}

fn is_of(receipt: &Receipt, flake: &FlakeRef) -> bool {
    let named = match receipt {
        Receipt::Flash(flashed) => flashed.flake.as_deref(),
        Receipt::BrokenFlash(broken) => broken.flake.as_deref(),
        Receipt::Deploy(deployed) => Some(deployed.flake.as_str()),
    };
    named.is_some_and(|named| flake.is_same(named))
}
