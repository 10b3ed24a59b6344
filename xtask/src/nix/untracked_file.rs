//! Files that a builder lacks although the folder of the flake has them: Nix copied only what git tracks, and the
//! evaluation did not miss them.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::error;
use crate::base::failure::{hint, kind};
use crate::base::git::{self, Command};
use crate::base::process::Launcher;
use crate::base::{CopiedFiles, FlakeRef, shell};

/// What programs print about a file that they lack, in lower case.
const MISSING: &[&str] = &[
    "no such file or directory",
    "not found",
    "no rule to make target",
    "does not exist",
    "doesn't exist",
    "cannot find",
    "can't find",
    "could not find",
    "couldn't find",
    "cannot open",
    "can't open",
    "couldn't read",
];
/// The most paths of a log that git is asked about.
const MAX_PATHS: usize = 16;

/// `error` of a build, with a hint where it has none and the log of the builder names a file of `flake` that git does
/// not track. The words of a builder decide nothing alone: the file is there, and git does not list it.
pub fn with_untracked_hint(launcher: &Launcher, flake: &FlakeRef, error: anyhow::Error) -> anyhow::Error {
    let Some(CopiedFiles::Listed(repository)) = flake.copied_files() else { return error };
    let Some(folder) = flake.folder().filter(|_| hint(&error).is_none()) else { return error };
    let text = error.to_string();
    let lines = text.lines().filter_map(error::quoted_log_line);
    let mut paths = lines.flat_map(missing_paths).filter_map(|path| {
        let found =
            [folder, &repository].map(|root| root.join(&path)).into_iter().find(|file| file.is_file())?;
        Some(found.strip_prefix(&repository).ok()?.to_owned())
    });
    let Some(path) = paths.by_ref().take(MAX_PATHS).find(|path| is_untracked(launcher, &repository, path))
    else {
        return error;
    };
    let path = shell::quote(&path.to_string_lossy());
    let hint = format!(
        "run `git -C {} add {path}`: the builder misses that file, as nix copies only what git tracks",
        shell::quote(&repository.to_string_lossy())
    );
    kind(&error).error_with_hint(format_args!("{error:#}"), hint)
}

/// The paths in `line` of a builder's log that may be the file that a program lacks, relative to the flake: those below
/// a copy of a source in the store, and relative ones.
fn missing_paths(line: &str) -> Vec<PathBuf> {
    let lower = line.to_lowercase();
    if !MISSING.iter().any(|words| lower.contains(words)) {
        return Vec::new();
    }
    let is_end = |c: char| c.is_whitespace() || "'\"`()[]<>,;:‘’“”".contains(c);
    line.split(is_end).filter_map(relative_path).collect()
}

/// `word` as a path relative to the flake; `None` for a word that cannot be one.
fn relative_path(word: &str) -> Option<PathBuf> {
    let word = word.trim_end_matches('.');
    let word = match word.strip_prefix("/nix/store/") {
        Some(in_store) => in_store.split_once('/')?.1,
        None => word.strip_prefix("./").unwrap_or(word),
    };
    // The name of a source that a builder has unpacked.
    let word = word.strip_prefix("source/").unwrap_or(word);
    let path = Path::new(word);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (is_plain && !word.is_empty()).then(|| path.to_owned())
}

/// Whether git neither tracks nor ignores `path` in `repository`. A git that does not answer tracks everything.
fn is_untracked(launcher: &Launcher, repository: &Path, path: &Path) -> bool {
    let mut literal = OsString::from(":(literal)");
    literal.push(path);
    let listed = git::capture(launcher, repository, Command::ListNames, &["--".as_ref(), &literal]);
    listed.is_ok_and(|output| output.success() && output.stdout.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_a_missing_file_names_its_path_in_the_flake() {
        let store = "/nix/store/00000000000000000000000000000000-source";
        for (line, expected) in [
            (format!("cat: {store}/keys/a.pub: No such file or directory"), "keys/a.pub"),
            (format!("cat: can't open '{store}/a.txt': No such file or directory"), "a.txt"),
            ("make: *** No rule to make target 'main.c', needed by 'all'.  Stop.".to_owned(), "main.c"),
            ("error: couldn't read `src/lib.rs`: No such file".to_owned(), "src/lib.rs"),
            ("cp: cannot stat ‘./x/y.conf’: No such file or directory".to_owned(), "x/y.conf"),
            ("sh: source/build.sh: not found".to_owned(), "build.sh"),
            ("main.c:1:10: fatal error: own.h: No such file or directory".to_owned(), "own.h"),
        ] {
            assert!(missing_paths(&line).contains(&PathBuf::from(expected)), "{line}");
        }
        for line in ["cat: ../../secret: No such file", "cat: /etc/passwd: not found", "building main.c"] {
            let found = missing_paths(line);
            assert!(
                found.iter().all(|path| !path.to_string_lossy().contains(['/', '.'])),
                "{line}: {found:?}"
            );
        }
    }
}
