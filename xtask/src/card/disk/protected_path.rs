//! Files and folders that must not be overwritten, and the disks that carry them.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::{Disk, Kind, Roots, usage};

/// The kernel follows no more links on the way to a file.
const MOST_LINKS: usize = 40;

/// What of a path must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The file or folder itself: a card that is mounted somewhere below it may be overwritten.
    Itself,
    /// All that is below it too, whatever is mounted there.
    Tree,
}

/// A file or folder that must not be overwritten.
#[derive(Clone, Debug)]
pub struct Protected {
    /// In the words of the message: `the image`.
    pub what: String,
    pub path: PathBuf,
    /// The whole disks that carry it, or a link on the way to it, by name.
    disks: BTreeSet<String>,
}

impl Protected {
    /// Looks up on which disks `path` is stored: where it is, where each link on the way to it is, and where that leads.
    /// What is not there yet is where it would be made.
    pub fn find(roots: &Roots, what: &str, path: &Path, extent: Extent) -> Self {
        let places = places(path);
        let below = match (extent, places.last()) {
            (Extent::Tree, Some(path)) => usage::mounted_below(roots, path),
            _ => Vec::new(),
        };
        let disks = places.iter().chain(&below).flat_map(|place| usage::carriers(roots, place)).collect();
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self { what: what.to_owned(), path, disks }
    }

    /// Whether it is stored on `disk`, or is the virtual card `disk` itself.
    pub(super) fn is_on(&self, disk: &Disk) -> bool {
        match &disk.kind {
            Kind::File { .. } => usage::is_same(&disk.path, &self.path),
            Kind::Loop { backing: Some(file) } if usage::is_same(file, &self.path) => true,
            _ => self.disks.contains(&disk.name),
        }
    }
}

/// The folder of each link on the way to `path`, in order, and at the end the place that it leads to, without links.
fn places(path: &Path) -> Vec<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (mut at, mut places) = (PathBuf::from("/"), Vec::new());
    let mut rest = words(&path).collect::<VecDeque<_>>();
    while let Some(word) = rest.pop_front() {
        if word == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&word);
        match next.read_link() {
            Ok(target) if places.len() < MOST_LINKS => {
                places.push(at.clone());
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                rest = words(&target).chain(rest).collect();
            }
            _ => at = next,
        }
    }
    places.push(at);
    places
}

/// The components of `path` below the root.
fn words(path: &Path) -> impl Iterator<Item = OsString> {
    let below = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    below.map(|part| part.as_os_str().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_step_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["card/real", "home", "links"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        symlink("../links/second", root.join("home/first")).unwrap();
        symlink(root.join("card/real"), root.join("links/second")).unwrap();
        let names = |path: &str| {
            let places = places(&root.join(path));
            let names =
                places.iter().map(|place| place.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names("card/real/file"), ["card/real/file"]);
        assert_eq!(names("home/first"), ["home", "links", "card/real"]);
        assert_eq!(names("home/first/not/there"), ["home", "links", "card/real/not/there"]);
        assert_eq!(names("links/../home/./first"), ["home", "links", "card/real"]);
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(places(&root.join("loop")).len(), MOST_LINKS + 1);
    }
}
