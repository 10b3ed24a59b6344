//! Moves the receipts of a flake from one state folder to another.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{FOLDER, Receipt, store};
use crate::base::FlakeRef;

/// Moves the receipts of `flake` from the state folder `from` to the state folder `to`, and returns their number. Moves
/// none where `to` has receipts already: the moved receipts must be older than all others there.
///
/// # Errors
/// Where a receipt cannot be written or removed.
pub fn move_receipts(from: &Path, to: &Path, flake: &FlakeRef) -> Result<usize> {
    let [source, target] = [from, to].map(|state| state.join(FOLDER));
    if store::newest_first(&target)?.next().is_some() {
        return Ok(0);
    }
    let mut moved = Vec::new();
    let mut receipts = store::newest_first(&source)?;
    while let Some((name, receipt)) = receipts.next_named() {
        if is_of_flake(&receipt, flake) {
            moved.push((name, receipt));
        }
    }
    // The oldest receipt gets the first sequence number.
    for (name, receipt) in moved.iter().rev() {
        store::write(&target, receipt)?;
        let old = source.join(name);
        fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
    }
    Ok(moved.len())
}

/// Whether `receipt` is one of a flash or a deploy from `flake`.
fn is_of_flake(receipt: &Receipt, flake: &FlakeRef) -> bool {
    receipt.flake().is_some_and(|of_receipt| flake.is_same(of_receipt))
}
