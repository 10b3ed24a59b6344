//! Protected paths: files and folders that must not be overwritten, and the disks that store them.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::{Disk, DiskKind, Roots, usage};

/// The greatest number of links that the kernel follows on the way to a file.
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
pub struct ProtectedPath {
    /// The name of the path in messages: `the image`.
    pub what: String,
    pub path: PathBuf,
    /// The names of the whole disks that store the path, a link on the way to it, or what is mounted below a tree.
    /// Also the names of the devices between such a disk and the file system, such as `dm-0`.
    disks: BTreeSet<String>,
}

impl ProtectedPath {
    /// Finds the disks that store `path`, called `what` in messages, each link on the way to it, and all that `extent`
    /// protects below it. A path that does not exist is on the disk on which it would be created.
    pub fn find(roots: &Roots, what: &str, path: &Path, extent: Extent) -> Self {
        let mut stored_paths = locations(path);
        if let (Extent::Tree, Some(resolved)) = (extent, stored_paths.last()) {
            let mount_points = usage::mount_points_below(roots, resolved);
            stored_paths.extend(mount_points);
        }
        let disks = stored_paths.iter().flat_map(|path| usage::storage_devices(roots, path)).collect();
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self { what: what.to_owned(), path, disks }
    }

    /// Whether writing to `disk` overwrites the path: `disk` stores the path, is a virtual card in the file at the
    /// path, or is a loop device over that file.
    pub(super) fn is_overwritten_with(&self, disk: &Disk) -> bool {
        match &disk.kind {
            DiskKind::File { .. } => usage::is_same_file(&disk.path, &self.path),
            DiskKind::Loop { backing: Some(file) } if usage::is_same_file(file, &self.path) => true,
            _ => self.disks.contains(&disk.name),
        }
    }
}

/// The folder of each link on the way to `path`, in order, and last the resolved path without links.
fn locations(path: &Path) -> Vec<PathBuf> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::from("/");
    let mut rest = component_names(&absolute).collect::<VecDeque<_>>();
    let mut locations = Vec::new();
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        let next = resolved.join(&name);
        match next.read_link() {
            Ok(target) if locations.len() < MAX_LINKS => {
                locations.push(resolved.clone());
                if target.is_absolute() {
                    resolved = PathBuf::from("/");
                }
                rest = component_names(&target).chain(rest).collect();
            }
            _ => resolved = next,
        }
    }
    locations.push(resolved);
    locations
}

/// The names in `path`, `..` among them, without the root and `.`.
fn component_names(path: &Path) -> impl Iterator<Item = OsString> {
    let named = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    named.map(|part| part.as_os_str().to_owned())
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
