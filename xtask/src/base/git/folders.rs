//! Where a repository keeps its history, found by reading files (gitrepository-layout(5)): nothing is run for it.

use std::path::{Path, PathBuf};

use crate::base::bounded::{self, Links};

/// The most that is read of a file which holds paths, in bytes.
const LARGEST: u64 = 64 << 10;

/// The folders with the history of the repository around `folder`: its `.git`, that of the checkout which a worktree
/// belongs to, and those whose objects it borrows. Empty where there is no repository.
pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let Some(own) = folder.ancestors().find_map(|above| git_dir(&above.join(".git"))) else {
        return Vec::new();
    };
    let common = lines(&own.join("commondir")).next().map(|path| own.join(path));
    let objects = common.as_ref().unwrap_or(&own).join("objects");
    let borrowed = lines(&objects.join("info/alternates")).map(|path| objects.join(path)).collect::<Vec<_>>();
    [own].into_iter().chain(common).chain(borrowed).collect()
}

/// The folder that is at `place`, or that the file at `place` names.
fn git_dir(place: &Path) -> Option<PathBuf> {
    if place.is_dir() {
        return Some(place.to_owned());
    }
    let path =
        lines(place).find_map(|line| line.strip_prefix("gitdir:").map(|path| path.trim().to_owned()))?;
    Some(place.parent()?.join(path))
}

fn lines(file: &Path) -> impl Iterator<Item = String> {
    let bytes = bounded::read(file, LARGEST, Links::Follow).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::Launcher;

    #[test]
    fn folders_of_a_checkout_a_worktree_and_a_borrower() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let git = |args: &[&str]| Launcher::new(&root).read("git", args).unwrap();
        assert!(folders(&root).is_empty());
        git(&["init", "--quiet", "first"]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
        git(&[&["-C", "first"], &author[..], &["commit", "--quiet", "--allow-empty", "-m", "a"]].concat());
        git(&["-C", "first", "worktree", "add", "--quiet", "../tree"]);
        git(&["clone", "--quiet", "--shared", "first", "second"]);
        std::fs::create_dir(root.join("first/hosts")).unwrap();
        let found = |folder: &str| {
            let folders = folders(&root.join(folder)).into_iter();
            folders.map(|folder| folder.canonicalize().unwrap().strip_prefix(&root).unwrap().to_owned())
        };
        assert!(found("first/hosts").eq([PathBuf::from("first/.git")]));
        assert!(found("tree").eq(["first/.git/worktrees/tree", "first/.git"].map(PathBuf::from)));
        assert!(found("second").eq(["second/.git", "first/.git/objects"].map(PathBuf::from)));
    }
}
