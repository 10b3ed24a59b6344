//! The entries of a payload: those of several options together, with the folders that contain them.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{EntryKind, Owner, PayloadEntry};
use crate::bail;
use crate::base::Plain;

/// The entries of `--files` and `own_entries`. A folder in both is that of `--files`.
///
/// # Errors
/// `Refused` for a file in both.
pub fn join_entries(
    mut entries: Vec<PayloadEntry>,
    own_entries: Vec<PayloadEntry>,
) -> Result<Vec<PayloadEntry>> {
    for own in own_entries {
        match entries.iter().find(|entry| entry.path == own.path) {
            None => entries.push(own),
            Some(entry) if own.kind == EntryKind::Folder && entry.kind == EntryKind::Folder => {}
            Some(entry) => bail!(
                Refused, "--files contains {}, which --ssh-key or --wifi also writes", Plain(&entry.path);
                hint: "remove it from --files, or leave the other option out"
            ),
        }
    }
    Ok(entries)
}

/// `entries` and the folders that contain them, sorted. A folder that is not among `entries` belongs to root, and all
/// can read it.
pub fn with_folders(mut entries: Vec<PayloadEntry>) -> Vec<PayloadEntry> {
    let paths = entries.iter().map(|entry| entry.path.clone()).collect::<BTreeSet<_>>();
    let parents = paths.iter().flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
    let missing = parents.filter(|path| !paths.contains(path)).collect::<BTreeSet<_>>();
    let folder = |path| PayloadEntry { path, mode: 0o755, owner: Owner::ROOT, kind: EntryKind::Folder };
    entries.extend(missing.into_iter().map(folder));
    // In the order of bytes, a folder comes before its content.
    entries.sort_by(|left, right| left.path.cmp(&right.path));
    entries
}

/// Refuses `entries` whose path leads through a file or a link.
pub fn refuse_nesting_in_files(entries: &[PayloadEntry]) -> Result<()> {
    let is_within = |inner: &PayloadEntry, outer: &PayloadEntry| {
        inner.path.strip_prefix(&outer.path).is_some_and(|rest| rest.starts_with('/'))
    };
    // Entries are sorted, but `a-b` comes between `a` and `a/b`: so all entries are searched.
    for outer in entries.iter().filter(|entry| entry.kind != EntryKind::Folder) {
        if let Some(inner) = entries.iter().find(|inner| is_within(inner, outer)) {
            let outer = Plain(&outer.path);
            bail!(
                Refused, "--files contains {outer}, a file or link, but the card needs a folder there for {}",
                Plain(&inner.path);
                hint: "replace {outer} by a folder, or remove it from --files"
            );
        }
    }
    Ok(())
}
