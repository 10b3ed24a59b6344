//! Two attached disks with the same labels: every NixOS SD image has the same, and `/dev/disk/by-label`
//! then names either.

use super::{Disk, Roots, Use, list};

/// The labels by which a NixOS SD image finds its own partitions.
const LABELS: [&str; 2] = ["NIXOS_SD", "FIRMWARE"];

/// A warning for each other disk that has such a label too, be it a card or what this machine runs from.
/// A machine whose disks cannot be listed has none: that is told elsewhere.
pub fn clashes(roots: &Roots, disk: &Disk) -> Vec<String> {
    let others = list(roots).unwrap_or_default().into_iter().filter(|other| other.number != disk.number);
    others.filter_map(|other| clash(&other)).collect()
}

fn clash(other: &Disk) -> Option<String> {
    let labels = other.partitions.iter().filter_map(|part| part.label.as_deref());
    let same = labels.filter(|label| LABELS.contains(label)).collect::<Vec<_>>();
    let (same, path) = (same.join(" and "), other.path.display());
    let advice = if other.uses.iter().any(Use::is_system) {
        ", and this machine runs from it; take the new card out before this machine boots again"
    } else {
        "; unplug it before anything looks for a card by its label"
    };
    (!same.is_empty()).then(|| format!("{path} is labelled {same} too{advice}"))
}
