//! What a saved state needs of a card, and what of it no card gets.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::entry::{StateEntry, StateKind};
use crate::bail;
use crate::base::{Bytes, Plain};
use crate::identity::Usage;

/// The most entries of a state.
const MAX_ENTRIES: u64 = 1_000_000;
/// The most bytes of a state: no card has more.
const MAX_BYTES: u64 = 2 << 40;
/// The square of the entries of one folder that debugfs writes in a minute: it takes 8 s for 10 000, and 70 s for
/// 30 000.
const ENTRIES_SQUARED_PER_MINUTE: u64 = 28_000 * 28_000;
/// The longest list of paths for each reason to skip them.
const MAX_EXAMPLES: usize = 3;

/// The number and the size of the entries that a card gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Survey {
    pub files: u64,
    pub folders: u64,
    pub links: u64,
    /// The size of all files together, in bytes.
    pub bytes: u64,
    /// The size of the largest file, in bytes.
    #[serde(rename = "largest_bytes")]
    pub largest: u64,
    /// The length of all names together, in bytes.
    #[serde(rename = "name_bytes")]
    names: u64,
    #[schemars(with = "Vec<SkippedEntries>")]
    pub skipped: Skipped,
    /// The number of entries in each folder.
    #[serde(skip)]
    in_folders: HashMap<String, u64>,
}

impl Survey {
    /// Counts `entry`.
    ///
    /// # Errors
    /// `Refused` for more entries or bytes than a state may have.
    pub fn count(&mut self, entry: &StateEntry) -> anyhow::Result<()> {
        match entry.kind {
            StateKind::Folder => self.folders += 1,
            StateKind::Link(_) => self.links += 1,
            // The size of the file behind another name is that of the largest at most.
            StateKind::HardLink(_) => self.add_file(self.largest),
            StateKind::File(size) => self.add_file(size),
        }
        self.names += entry.path.len() as u64;
        let folder = entry.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        match self.in_folders.get_mut(folder) {
            Some(count) => *count += 1,
            None => drop(self.in_folders.insert(folder.to_owned(), 1)),
        }
        if self.entries() > MAX_ENTRIES {
            bail!(Refused, "the state has more than {MAX_ENTRIES} files, folders and links");
        }
        if self.bytes > MAX_BYTES {
            bail!(Refused, "the files of the state have more than {}", Bytes(MAX_BYTES));
        }
        Ok(())
    }

    fn add_file(&mut self, size: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.largest = self.largest.max(size);
    }

    /// Whether a card gets nothing but the folder of the state itself.
    pub fn is_empty(&self) -> bool {
        self.names == 0
    }

    fn entries(&self) -> u64 {
        self.files + self.folders + self.links
    }

    /// The warning of the largest folder, if debugfs takes minutes for it: the time grows with the square of its
    /// entries, as each is searched from the beginning.
    pub fn large_folder_warning(&self) -> Option<String> {
        let (folder, count) = self.in_folders.iter().max_by_key(|(folder, count)| (**count, *folder))?;
        let minutes = count.saturating_mul(*count) / ENTRIES_SQUARED_PER_MINUTE;
        (minutes > 0).then(|| {
            let place = if folder.is_empty() { ".".to_owned() } else { Plain(folder).to_string() };
            format!("{place} of the state has {count} entries: writing them takes {minutes} min and more")
        })
    }

    /// Whether `self` needs no more than `planned`.
    pub fn is_within(&self, planned: &Self) -> bool {
        self.entries() <= planned.entries() && self.bytes <= planned.bytes
    }

    /// The most that the state needs of a file system with blocks of `block_size` bytes: each entry may need a block of
    /// its own for a list, a map of its blocks, or a target.
    pub fn max_usage(&self, block_size: u64) -> Usage {
        let of_content = self.bytes.div_ceil(block_size) + 2 * self.entries();
        // An entry of a folder has 8 bytes beside its name, which is padded. Folders may be half empty.
        let of_names = (self.names + 12 * self.entries()).div_ceil(block_size) * 2;
        Usage { blocks: of_content + of_content / 100 + of_names + 64, inodes: self.entries() + 16 }
    }
}

impl fmt::Display for Survey {
    /// `12 files, 3 folders, 1 link, 1.2 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let [files, folders, links] = [(self.files, "file"), (self.folders, "folder"), (self.links, "link")]
            .map(|(count, noun)| counted(count, noun));
        write!(f, "{files}, {folders}, {links}, {}", Bytes(self.bytes))
    }
}

/// The entries that no card gets, by reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped(BTreeMap<&'static str, Examples>);

/// The entries that were skipped for one reason, for programs.
#[derive(Serialize, JsonSchema)]
struct SkippedEntries<'a> {
    /// The reason, in words.
    reason: &'static str,
    count: u64,
    /// The first of them.
    paths: &'a [String],
}

/// How many entries were skipped for one reason, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Examples {
    count: u64,
    paths: Vec<String>,
}

impl Serialize for Skipped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(reason, Examples { count, paths })| SkippedEntries {
            reason,
            count: *count,
            paths,
        }))
    }
}

impl Skipped {
    /// Adds the entry at `path`.
    pub fn add(&mut self, reason: &'static str, path: &str) {
        let examples = self.0.entry(reason).or_default();
        examples.count += 1;
        if examples.paths.len() < MAX_EXAMPLES {
            examples.paths.push(path.to_owned());
        }
    }

    /// One sentence for each reason: `2 devices, sockets or pipes: run/a, run/b`.
    pub fn sentences(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(reason, Examples { count, paths })| {
            let mut shown = paths.iter().map(|path| Plain(path).to_string()).collect::<Vec<_>>();
            if *count > shown.len() as u64 {
                shown.push("…".to_owned());
            }
            let reason = if *count == 1 {
                reason.replacen("entries", "entry", 1).replacen("files", "file", 1).replacen("sets", "set", 1)
            } else {
                (*reason).to_owned()
            };
            format!("{count} {reason}: {}", shown.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::saved_state::entry::Modified;
    use crate::identity::Owner;

    #[test]
    fn only_a_folder_that_takes_minutes_is_warned_of() {
        let mut survey = Survey::default();
        let mut add = |path: String| {
            let kind = StateKind::File(1);
            survey
                .count(&StateEntry { path, kind, mode: 0, owner: Owner::ROOT, modified: Modified::default() })
                .unwrap();
            survey.large_folder_warning()
        };
        assert_eq!((0..27_999).find_map(|number| add(format!("mail/{number}"))), None);
        assert_eq!(add("other".into()), None);
        assert_eq!(
            add("mail/x".into()).unwrap(),
            "mail of the state has 28000 entries: writing them takes 1 min and more"
        );
    }
}
