//! The folders where a repository keeps its history (gitrepository-layout(5)), found by reading files, without running
//! git.

use std::path::{Path, PathBuf};

use crate::base::bounded::{self, Links};

/// The largest size of a file with paths, in bytes.
const MAX_FILE_SIZE: u64 = 64 << 10;

/// The folders with the history of the repository around `folder`: its `.git`, the `.git` of the main checkout for a
/// worktree, and the object folders that it borrows from (alternates). Empty where there is no repository.
pub fn repository_dirs(folder: &Path) -> Vec<PathBuf> {
    let Some(own) = folder.ancestors().find_map(|above| git_dir(&above.join(".git"))) else {
        return Vec::new();
    };
    let common = lines(&own.join("commondir")).first().map(|path| own.join(path));
    let objects = common.as_ref().unwrap_or(&own).join("objects");
    let alternates = lines(&objects.join("info/alternates"));
    let borrowed = alternates.iter().map(|path| objects.join(path)).collect::<Vec<_>>();
    [own].into_iter().chain(common).chain(borrowed).collect()
}

/// The folder at `path`, or the folder that the file at `path` names behind `gitdir:`. `None` where there is neither.
fn git_dir(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let lines = lines(path);
    let target = lines.iter().find_map(|line| line.strip_prefix("gitdir:"))?;
    Some(path.parent()?.join(target.trim()))
}

/// The lines of `file` that are not empty; none for a file that cannot be read.
fn lines(file: &Path) -> Vec<String> {
    let bytes = bounded::read(file, MAX_FILE_SIZE, Links::Follow).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::Launcher;

    #[test]
    fn folders_of_a_checkout_a_worktree_and_a_shared_clone_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let git = |args: &[&str]| Launcher::new(&root).read("git", args).unwrap();
        assert!(repository_dirs(&root).is_empty());
        git(&["init", "--quiet", "first"]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
        git(&[&["-C", "first"], &author[..], &["commit", "--quiet", "--allow-empty", "-m", "a"]].concat());
        git(&["-C", "first", "worktree", "add", "--quiet", "../tree"]);
        git(&["clone", "--quiet", "--shared", "first", "second"]);
        std::fs::create_dir(root.join("first/hosts")).unwrap();
        let found = |folder: &str| {
            let folders = repository_dirs(&root.join(folder)).into_iter();
            folders.map(|folder| folder.canonicalize().unwrap().strip_prefix(&root).unwrap().to_owned())
        };
        assert!(found("first/hosts").eq([PathBuf::from("first/.git")]));
        assert!(found("tree").eq(["first/.git/worktrees/tree", "first/.git"].map(PathBuf::from)));
        assert!(found("second").eq(["second/.git", "first/.git/objects"].map(PathBuf::from)));
    }
}
