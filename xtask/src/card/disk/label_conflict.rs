//! Label conflicts: every NixOS SD image has the same labels, and with two such disks attached, a link in
//! `/dev/disk/by-label` leads to either.

use super::{Disk, Roots, Use, list};

/// The labels by which a NixOS SD image finds its own partitions.
const LABELS: &[&str] = &["NIXOS_SD", "FIRMWARE"];

/// A warning for each disk beside `disk` and the disks `written` with it that has one of [`LABELS`], be it a card or
/// the disk that this machine runs from. No warning where the disks cannot be listed: other checks report that error.
pub fn label_conflicts(roots: &Roots, disk: &Disk, written: &[&Disk]) -> Vec<String> {
    let is_written =
        |other: &Disk| written.iter().chain([&disk]).any(|written| written.number == other.number);
    let others = list(roots).unwrap_or_default().into_iter().filter(|other| !is_written(other));
    others.filter_map(|other| label_conflict(&other)).collect()
}

/// The warning about `other`; `None` where it has none of [`LABELS`].
fn label_conflict(other: &Disk) -> Option<String> {
    let labels = other.partitions.iter().filter_map(|part| part.label.as_deref());
    let same = labels.filter(|label| LABELS.contains(label)).collect::<Vec<_>>();
    if same.is_empty() {
        return None;
    }
    let path = other.path.display();
    let advice = if other.uses.iter().any(Use::is_system) {
        ", and this machine runs from it: remove the new card before this machine boots again".to_owned()
    } else if other.kind.is_virtual() {
        format!(": detach it by `losetup -d {path}` before a program finds a card by its label")
    } else {
        ": unplug it before a program finds a card by its label".to_owned()
    };
    Some(format!("{path} has the label {} too{advice}", same.join(" and ")))
}
