//! Commits by their names.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;

use super::{Command, capture};
use crate::base::Plain;
use crate::base::process::Launcher;
use crate::{bail, failure};

/// The longest name of a commit.
const MAX_NAME: usize = 250;

/// The hash of the commit that `name` stands for in the repository around `folder`: a hash, its first digits, a branch
/// or a tag.
///
/// # Errors
/// `Refused` where the repository has no such commit, and `Usage` for a text that names none.
pub fn find_commit(launcher: &Launcher, folder: &Path, name: &str) -> Result<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@~^".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('-') || !name.chars().all(is_plain) {
        bail!(
            Usage, "`{}` names no revision of git", Plain(name);
            hint: "name a commit by its first digits, a branch or a tag"
        );
    }
    let commit = OsString::from(format!("{name}^{{commit}}"));
    let output = capture(launcher, folder, Command::FindCommit, &[&commit])?;
    if output.success() {
        return Ok(output.stdout.trim().to_owned());
    }
    let why =
        output.stderr.lines().next().map(|line| format!(" ({})", Plain(line.trim()))).unwrap_or_default();
    Err(failure!(
        Refused, "the revision {name} is not in the repository of {}{why}", folder.display();
        hint: "run `git fetch` there if the revision is of another clone, or name one that `git log` shows"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_found_by_each_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let launcher = Launcher::new(dir.path());
        let git = |args: &[&str]| launcher.read("git", args).unwrap();
        git(&["init", "--quiet", "--initial-branch=main"]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
        git(&[&author[..], &["commit", "--quiet", "--allow-empty", "-m", "a"]].concat());
        let hash = git(&["rev-parse", "HEAD"]).trim().to_owned();
        for name in [hash.as_str(), &hash[..8], "main", "HEAD"] {
            assert_eq!(find_commit(&launcher, dir.path(), name).unwrap(), hash, "{name}");
        }
        let missing = "0123456789abcdef0123456789abcdef01234567";
        let error = find_commit(&launcher, dir.path(), missing).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("the revision {missing} is not in the repository of {}", dir.path().display())
        );
        for name in ["", "--all", "a b", "x:y", "main^{tree}"] {
            let error = find_commit(&launcher, dir.path(), name).unwrap_err();
            assert_eq!(error.to_string(), format!("`{name}` names no revision of git"));
        }
    }
}
