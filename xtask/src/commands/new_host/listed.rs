//! New files in the list of git: Nix sees no others in a repository.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::base::failure::kind;
use crate::base::git::{self, Command};
use crate::base::{Context, CopiedFiles, shell};
use crate::nix::new_host::{Draft, LOGIN_KEYS};
use crate::ui::{self, Prompt};

/// Adds the files that the host of `draft` reads to the list of git, if the user `wants` that or agrees. Returns
/// whether git lists them; `None` where no git decides what Nix sees. A failure of git is a warning, as the files are
/// written then.
///
/// # Errors
/// `Interrupted` where the user presses Ctrl-C.
pub fn add(cx: &Context, folder: &Path, draft: &Draft, wants: bool) -> Result<Option<bool>> {
    if !matches!(cx.flake.copied_files(), Some(CopiedFiles::Listed(_))) {
        return Ok(None);
    }
    let paths = draft.needed_paths();
    let paths = paths.iter().map(|path| path.as_os_str()).filter(|path| !is_listed(cx, folder, path));
    let paths = paths.collect::<Vec<&OsStr>>();
    if paths.is_empty() {
        return Ok(Some(true));
    }
    let is_agreed = wants || ui::can_ask() && ask()?;
    if !is_agreed {
        return Ok(Some(false));
    }
    let output = git::capture(&cx.launcher, folder, Command::AddIntent, &paths)?;
    if !output.success() {
        let reason = output.stderr.lines().collect::<Vec<_>>().join("; ");
        cx.warn(format!("git does not list the new files: {reason}"));
    }
    Ok(Some(output.success()))
}

/// Whether git lists the file `path` of `folder`; also where git does not answer.
fn is_listed(cx: &Context, folder: &Path, path: &OsStr) -> bool {
    let listed = git::capture(&cx.launcher, folder, Command::ListNames, &["--".as_ref(), path]);
    !listed.is_ok_and(|output| output.success() && output.stdout.is_empty())
}

/// Asks whether git lists the new files from now on.
fn ask() -> Result<bool> {
    let prompt = Prompt {
        notice: "The files are written. Nix sees only files that git lists.",
        question: "Run `git add --intent-to-add` for them? [y/N]",
        unanswered: "stopped; the files are written, and git does not list them",
    };
    prompt.confirm()
}

/// `error` of a host that the flake has already, with a hint where git does not list its file: an earlier run may have
/// been stopped before, or its user declined.
pub fn with_hint(cx: &Context, folder: &Path, name: &str, error: anyhow::Error) -> anyhow::Error {
    let Some(CopiedFiles::Listed(_)) = cx.flake.copied_files() else { return error };
    let is_unlisted = |file: &String| folder.join(file).is_file() && !is_listed(cx, folder, OsStr::new(file));
    let mut files = vec![format!("hosts/{name}/default.nix"), format!("hosts/{name}.nix")];
    files.retain(is_unlisted);
    if files.is_empty() {
        return error;
    }
    // The keys that the earlier run wrote are needed, too.
    files.extend(key_files(folder).into_iter().filter(is_unlisted));
    let hint = format!(
        "run `git -C {} add {}` if it is the host of an earlier run, which git does not list yet: Nix does not see it; \
         else choose another name",
        shell::quote(&folder.to_string_lossy()),
        shell::quote_all(&files)
    );
    kind(&error).error_with_hint(format_args!("{error:#}"), hint)
}

/// The files of login keys that all hosts of the flake in `folder` have, relative to it.
fn key_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join(LOGIN_KEYS)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files = names.map(|name| format!("{LOGIN_KEYS}/{name}")).collect::<Vec<_>>();
    files.sort_unstable();
    files
}
