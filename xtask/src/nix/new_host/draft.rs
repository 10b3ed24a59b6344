//! What is written for a new host, in the flakes whose shape is known.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::NewHost;
use super::known::{LOGIN_KEYS, known_error};
use super::syntax::{self, Unfit};
use crate::base::bounded::{self, Links};
use crate::{bail, failure};

/// The most bytes of a file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// The list of hosts in the shape of this project's repository.
pub(super) const REGISTRY: &str = "hosts/default.nix";
/// The list of hosts in the shape of the template.
pub(super) const TEMPLATE: &str = "flake.nix";

/// The files of a new host. Paths are relative to the folder of the flake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub new_files: Vec<NewFile>,
    /// Files that the host reads too, and that are there already.
    pub existing_files: Vec<PathBuf>,
    /// The list of hosts, which is changed last: until then the flake is as it was.
    pub edit: Edit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    pub path: PathBuf,
    pub content: String,
}

/// A change of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub path: PathBuf,
    pub before: String,
    pub after: String,
}

/// What can be done for a new host.
#[derive(Debug)]
pub enum Drafted {
    Draft(Draft),
    /// The flake is of a shape that is not edited: why, and the text for the user to add.
    ByHand {
        reason: String,
        text: String,
    },
}

impl Draft {
    /// The paths of the new files.
    pub fn new_paths(&self) -> Vec<PathBuf> {
        self.new_files.iter().map(|file| file.path.clone()).collect()
    }

    /// The paths of all files that the host reads, which Nix has to see.
    pub fn needed_paths(&self) -> Vec<PathBuf> {
        self.new_paths().into_iter().chain(self.existing_files.clone()).collect()
    }

    /// The paths of the files that change.
    pub fn changed_paths(&self) -> Vec<PathBuf> {
        vec![self.edit.path.clone()]
    }
}

impl fmt::Display for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.new_files {
            writeln!(f, "to write   {}", file.path.display())?;
        }
        write!(f, "to change  {}", self.edit.path.display())
    }
}

/// The files for `host` in the flake in `folder`.
///
/// # Errors
/// `Refused` where a file exists with other content, and for a host that the flake has already.
pub fn draft(folder: &Path, host: &NewHost) -> Result<Drafted> {
    if is_registry(folder) { registry_draft(folder, host) } else { template_draft(folder, host) }
}

/// Whether the flake in `folder` has the shape of this project's repository.
pub(super) fn is_registry(folder: &Path) -> bool {
    let files = ["default.nix", "common/users.nix", "raspberry-pi/default.nix"];
    files.iter().all(|file| folder.join("hosts").join(file).is_file())
}

/// The files in the shape of this project's repository.
fn registry_draft(folder: &Path, host: &NewHost) -> Result<Drafted> {
    let mut new_files = vec![NewFile {
        path: format!("hosts/{}/default.nix", host.name).into(),
        content: host.registry_file(),
    }];
    new_files.extend(key_file(folder, host)?);
    let value = host.registry_value();
    let entry = format!("{} = {value};", syntax::attribute(&host.name));
    let mut drafted = finish(folder, host, REGISTRY, new_files, &entry, |text| {
        syntax::add_to_set(text, &host.name, &value)
    })?;
    let keys = key_path(host);
    if let Drafted::Draft(draft) = &mut drafted
        && folder.join(&keys).is_file()
        && !draft.new_paths().contains(&keys)
    {
        draft.existing_files.push(keys);
    }
    Ok(drafted)
}

/// The path of the file with the keys of the administrator.
fn key_path(host: &NewHost) -> PathBuf {
    format!("{LOGIN_KEYS}/{}.pub", host.admin).into()
}

/// The files in the shape of the template.
fn template_draft(folder: &Path, host: &NewHost) -> Result<Drafted> {
    let path = format!("hosts/{}.nix", host.name).into();
    let new_files = vec![NewFile { path, content: host.template_file() }];
    let entry = NewHost::template_entry(&host.name);
    let drafted = finish(folder, host, TEMPLATE, new_files, &entry, |text| {
        syntax::add_to_outputs(text, &host.name, NewHost::template_entry)
    })?;
    if matches!(drafted, Drafted::Draft(_)) {
        check_template(host)?;
    }
    Ok(drafted)
}

/// # Errors
/// `Refused` for what the shape of the template has no place for.
fn check_template(host: &NewHost) -> Result<()> {
    if host.keys.is_empty() {
        bail!(
            Refused, "nobody could log in to {}: no public ssh key is named", host.name;
            hint: "pass --ssh-key ~/.ssh/id_ed25519.pub; `ssh-keygen -t ed25519` makes a key"
        );
    }
    if host.needs_foundation_kernel() {
        bail!(
            Refused, "mainline Linux has no device tree for a {}", host.board;
            hint: "pass --board cm4 or another, and change the file as the project's docs/pi-5.md shows"
        );
    }
    Ok(())
}

/// The draft of `new_files` and of the edit of `list`, or the text for the user where `list` is of another shape.
fn finish(
    folder: &Path,
    host: &NewHost,
    list: &str,
    new_files: Vec<NewFile>,
    entry: &str,
    edit: impl FnOnce(&str) -> Result<String, Unfit>,
) -> Result<Drafted> {
    let before = read(&folder.join(list))?.unwrap_or_default();
    let reason = match edit(&before) {
        Ok(after) => {
            let edit = Edit { path: list.into(), before, after };
            check_new_files(folder, &new_files)?;
            return Ok(Drafted::Draft(Draft { new_files, existing_files: Vec::new(), edit }));
        }
        Err(Unfit::HasHost) => return Err(known_error(folder, list, &host.name)),
        Err(Unfit::NoNix) => "has a syntax error",
        Err(Unfit::TooLarge) => "is too large",
        Err(Unfit::OtherShape) => "has another shape than that of this project",
    };
    let files = new_files.iter().map(|file| format!("\n# {}\n{}", file.path.display(), file.content));
    let text = format!("# {list}, among the hosts\n{entry}\n{}", files.collect::<String>());
    Ok(Drafted::ByHand { reason: format!("{list} {reason}"), text: text.trim_end().to_owned() })
}

/// The file with the keys of the administrator; `None` where no keys were given, or the file has them already.
///
/// # Errors
/// `Refused` for a file that lacks one of the keys.
fn key_file(folder: &Path, host: &NewHost) -> Result<Option<NewFile>> {
    let path = key_path(host);
    let content = host.keys.iter().map(|key| format!("{key}\n")).collect::<String>();
    let Some(old) = read(&folder.join(&path))? else {
        return Ok((!content.is_empty()).then_some(NewFile { path, content }));
    };
    // The comment behind a key does not matter.
    let parts = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    let missing = host.keys.iter().find(|key| !old.lines().any(|line| parts(line) == parts(key)));
    match missing {
        None => Ok(None),
        Some(key) => bail!(
            Refused, "{} is there without the key {key}", path.display();
            hint: "add the line to the file, and leave out --ssh-key"
        ),
    }
}

/// # Errors
/// `Refused` for a file that exists with other content. An interrupted run may have left the same content.
fn check_new_files(folder: &Path, new_files: &[NewFile]) -> Result<()> {
    for file in new_files {
        if read(&folder.join(&file.path))?.is_some_and(|old| old != file.content) {
            let path = file.path.display();
            bail!(Refused, "{path} exists"; hint: "choose another name for the host, or move the file away");
        }
    }
    Ok(())
}

/// The text of the file at `path`; `None` where there is none.
///
/// # Errors
/// `Refused` for a link and for anything that is no file of text.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    if path.is_symlink() {
        bail!(Refused, "{} is a link", path.display(); hint: "edit the file that it leads to by hand");
    }
    match bounded::read(path, MAX_BYTES, Links::Refuse) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes);
            text.map(Some).map_err(|_| failure!(Refused, "{} is not in UTF-8", path.display()))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}
