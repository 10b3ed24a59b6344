//! Protected paths: files and folders that must not be overwritten, and the disks that store them.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::{Disk, DiskKind, Roots, usage};

/// The number of links that the kernel follows on the way to a file at most.
const MAX_LINKS: usize = 40;

/// How much of a path is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The file or folder itself: a card that is mounted below it may be overwritten.
    Itself,
    /// The folder and everything below it, including what is mounted there.
    Tree,
}

/// A file or folder that must not be overwritten.
#[derive(Clone, Debug)]
pub struct Protected {
    /// The name of the path in messages: `the image`.
    pub what: String,
    pub path: PathBuf,
    /// The names of the whole disks that store the path, or a link on the way to it.
    disks: BTreeSet<String>,
}

impl Protected {
    /// Finds the disks that store `path` and each link on the way to it. A path that does not exist is on the disk on
    /// which it would be created.
    pub fn find(roots: &Roots, what: &str, path: &Path, extent: Extent) -> Self {
        let locations = locations(path);
        let below = match (extent, locations.last()) {
            (Extent::Tree, Some(path)) => usage::mounted_below(roots, path),
            _ => Vec::new(),
        };
        let disks = locations.iter().chain(&below).flat_map(|path| usage::carriers(roots, path)).collect();
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self { what: what.to_owned(), path, disks }
    }

    /// Whether the path is stored on `disk`, or is the virtual card `disk` itself.
    pub(super) fn is_on(&self, disk: &Disk) -> bool {
        match &disk.kind {
            DiskKind::File { .. } => usage::is_same(&disk.path, &self.path),
            DiskKind::Loop { backing: Some(file) } if usage::is_same(file, &self.path) => true,
            _ => self.disks.contains(&disk.name),
        }
    }
}

/// The folder of each link on the way to `path`, in order, and last the resolved path without links.
fn locations(path: &Path) -> Vec<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut at = PathBuf::from("/");
    let mut locations = Vec::new();
    let mut rest = components(&path).collect::<VecDeque<_>>();
    while let Some(component) = rest.pop_front() {
        if component == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&component);
        match next.read_link() {
            Ok(target) if locations.len() < MAX_LINKS => {
                locations.push(at.clone());
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                rest = components(&target).chain(rest).collect();
            }
            _ => at = next,
        }
    }
    locations.push(at);
    locations
}

/// The components of `path` below the root.
fn components(path: &Path) -> impl Iterator<Item = OsString> {
    let below = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    below.map(|part| part.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_link_on_the_way_is_a_location() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["card/real", "home", "links"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink("../links/second", root.join("home/first")).unwrap();
        symlink(root.join("card/real"), root.join("links/second")).unwrap();
        let names = |path: &str| {
            let locations = locations(&root.join(path));
            let below = locations.iter().map(|path| path.strip_prefix(&root).unwrap());
            below.map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names("card/real/file"), ["card/real/file"]);
        assert_eq!(names("home/first"), ["home", "links", "card/real"]);
        assert_eq!(names("home/first/not/there"), ["home", "links", "card/real/not/there"]);
        assert_eq!(names("links/../home/./first"), ["home", "links", "card/real"]);
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(locations(&root.join("loop")).len(), MAX_LINKS + 1);
    }
}
