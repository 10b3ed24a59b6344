//! New files in the list of git: Nix sees no others in a repository.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::base::git::{self, Command};
use crate::base::{Context, CopiedFiles};
use crate::nix::new_host::Draft;
use crate::ui::{self, Prompt};

/// Adds the new files of `draft` to the list of git, if the user `wants` that or agrees. Returns whether git lists
/// them; `None` where no git decides what Nix sees. A failure of git is a warning: the files are written.
///
/// # Errors
/// `Interrupted` where the user presses Ctrl-C.
pub fn add(cx: &Context, folder: &Path, draft: &Draft, wants: bool) -> Result<Option<bool>> {
    if !matches!(cx.flake.copied_files(), Some(CopiedFiles::Listed(_))) {
        return Ok(None);
    }
    let is_agreed = wants || ui::can_ask() && ask()?;
    if !is_agreed {
        return Ok(Some(false));
    }
    let files = draft.new_files.iter().map(|file| folder.join(&file.path)).collect::<Vec<PathBuf>>();
    let paths = files.iter().map(|path| path.as_os_str()).collect::<Vec<&OsStr>>();
    let output = git::capture(&cx.launcher, folder, Command::AddIntent, &paths)?;
    if !output.success() {
        let reason = output.stderr.lines().collect::<Vec<_>>().join("; ");
        cx.warn(format!("git does not list the new files: {reason}"));
    }
    Ok(Some(output.success()))
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
