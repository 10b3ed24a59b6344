//! State in a repository of restic. Restic finds the snapshot, lists it, and writes its files as an archive to a pipe:
//! no root is needed, and nothing is kept on this machine. The password comes from a file or from restic's own
//! environment, never from the command line.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::archive;
use super::entry::{Modified, RawEntry, RawKind};
use super::sieve::normalize;
use super::snapshot::{Snapshot, choose, shown};
use crate::base::process::{Launcher, Piped};
use crate::base::{HostName, Plain};
use crate::identity::Owner;
use crate::{bail, failure};

/// The name of the program.
const RESTIC: &str = "restic";
/// The longest line that is read of a list, in bytes: a path, and its metadata.
const MAX_LINE: u64 = 1 << 20;

/// How to open a repository, and which snapshot to read.
#[derive(Clone, Debug)]
pub struct ResticOptions {
    /// `None` for the repository that the environment names.
    pub repository: Option<String>,
    pub password_file: Option<PathBuf>,
    /// The id of the snapshot, or its first digits; `None` for the latest one of the host.
    pub snapshot: Option<String>,
}

/// An entry of a snapshot, as restic lists it. The first line of a list is that of the snapshot.
#[derive(Debug, Deserialize)]
struct Node {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    size: u64,
}

/// A snapshot that can be read.
pub struct Restic<'a> {
    launcher: &'a Launcher,
    options: &'a ResticOptions,
    pub snapshot: Snapshot,
    /// The folder in the snapshot, without a `/` at the end; empty for all.
    folder: String,
}

impl ResticOptions {
    /// Finds the program.
    ///
    /// # Errors
    /// `Refused` where it is missing.
    pub fn check(launcher: &Launcher) -> Result<()> {
        if launcher.which(RESTIC).is_some() {
            return Ok(());
        }
        bail!(
            Refused(MissingProgram), "restic, needed to read the state from its repository, is not on PATH";
            hint: "install it with `cargo xtask setup --backups` or `nix profile install nixpkgs#restic`, or restore the \
                   snapshot to a folder on another machine, and name a copy of that with --state"
        )
    }

    /// The arguments that open the repository, before those of a command.
    fn args(&self) -> Vec<String> {
        let repository = self.repository.as_ref().map(|repository| format!("--repo={repository}"));
        let password = self.password_file.as_ref().map(|file| format!("--password-file={}", file.display()));
        // Reading takes no lock, which a repository may not allow, or which another machine may hold.
        repository.into_iter().chain(password).chain(["--no-lock".to_owned()]).collect()
    }

    /// Runs restic with `words`; `read` reads its stdout.
    fn run<T>(
        &self,
        launcher: &Launcher,
        words: &[&str],
        read: impl FnOnce(&mut dyn Read) -> Result<T>,
    ) -> Result<T> {
        let args = self.args();
        let args = args.iter().map(String::as_str).chain(words.iter().copied()).collect::<Vec<_>>();
        let Piped { read, output } = launcher.read_stdout(RESTIC, &args, read)?;
        match output {
            Some(output) if !output.success() => Err(failed(words[0], output.code, &output.stderr)),
            _ => read,
        }
    }

    /// The snapshot of `host` that the user names, or else its latest one with `folder`.
    ///
    /// # Errors
    /// `Refused` where there is none, or where it is unknown which of several hosts is meant.
    pub fn find(&self, launcher: &Launcher, host: &HostName, folder: &str) -> Result<Snapshot> {
        let text = self.run(launcher, &["snapshots", "--json"], |stdout| {
            Ok(crate::base::bounded::read_all(stdout, 64 << 20)?)
        })?;
        let all = serde_json::from_slice::<Option<Vec<Snapshot>>>(&text)
            .context("reading the snapshots of restic")?;
        choose(all.unwrap_or_default(), self.snapshot.as_deref(), host, folder)
    }
}

/// The error of the command `word` of restic, which ended with `code` and printed `stderr`.
fn failed(word: &str, code: i32, stderr: &str) -> anyhow::Error {
    let mut lines = stderr.lines().rev().filter(|line| !line.trim().is_empty());
    let last = lines.clone().find(|line| line.starts_with("Fatal: ")).or_else(|| lines.next());
    let last = last.unwrap_or("it printed nothing");
    let hint = if stderr.contains("password") {
        "name a file with the password by --password-file or RESTIC_PASSWORD_FILE"
    } else {
        "try `restic snapshots` with the same repository: restic takes addresses and logins from its own environment"
    };
    failure!(Refused, "restic {word} ended with exit code {code}: {}", Plain(last.trim()); hint: "{hint}")
}

impl<'a> Restic<'a> {
    pub fn new(launcher: &'a Launcher, options: &'a ResticOptions, snapshot: Snapshot, folder: &str) -> Self {
        Self { launcher, options, snapshot, folder: folder.to_owned() }
    }

    /// Passes the kind and the size of each entry of the snapshot to `visit`, without their other metadata. Returns the
    /// paths of those that the archive of [`Self::visit`] shows as empty files.
    pub fn list(&self, visit: &mut dyn FnMut(RawEntry) -> Result<()>) -> Result<HashSet<Vec<u8>>> {
        let words = ["ls", "--json", "--recursive", &self.snapshot.id, shown(&self.folder)];
        let mut special = HashSet::new();
        self.options.run(self.launcher, &words, |stdout| {
            for_each_node(stdout, |node| {
                let Some(kind) = kind(&node) else { return Ok(()) };
                if kind == RawKind::Special {
                    special.extend(normalize(node.path.as_bytes()));
                }
                visit(RawEntry {
                    path: node.path.into_bytes(),
                    kind,
                    mode: 0,
                    owner: Owner::ROOT,
                    modified: Modified::default(),
                    // The list has none.
                    has_attributes: false,
                })
            })
        })?;
        Ok(special)
    }

    /// Passes each entry of the snapshot to `visit`; those at the paths `special` are no files.
    pub fn visit(
        &self,
        special: &HashSet<Vec<u8>>,
        visit: &mut dyn FnMut(RawEntry, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let words = ["dump", "--archive", "tar", &self.snapshot.id, shown(&self.folder)];
        self.options.run(self.launcher, &words, |stdout| {
            archive::visit(stdout, &mut |mut entry, content| {
                if normalize(&entry.path).is_some_and(|path| special.contains(&path)) {
                    entry.kind = RawKind::Special;
                }
                visit(entry, content)
            })
        })
    }
}

/// Passes each line of `stdout` that is an entry to `each`.
fn for_each_node(stdout: &mut dyn Read, mut each: impl FnMut(Node) -> Result<()>) -> Result<()> {
    let mut source = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = source
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .context("reading the list of restic")?;
        if count == 0 {
            return Ok(());
        }
        let node = serde_json::from_slice::<Node>(&line).context("reading the list of restic")?;
        if !node.path.is_empty() {
            each(node)?;
        }
    }
}

/// The kind of `node`; `None` for a line that is no entry.
fn kind(node: &Node) -> Option<RawKind> {
    Some(match node.kind.as_str() {
        "" => return None,
        "dir" => RawKind::Folder,
        "file" => RawKind::File(node.size),
        // The list does not have the target.
        "symlink" => RawKind::Link(b"target".to_vec()),
        _ => RawKind::Special,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_among_the_arguments() {
        let options = ResticOptions {
            repository: Some("sftp:host:/srv".into()),
            password_file: Some("/run/key".into()),
            snapshot: None,
        };
        assert_eq!(options.args(), ["--repo=sftp:host:/srv", "--password-file=/run/key", "--no-lock"]);
    }
}
