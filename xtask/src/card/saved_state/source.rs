//! The source of a saved state, as the user names it.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::entry::{RawEntry, StateEntry};
use super::restic::{Restic, ResticOptions};
use super::sieve::{Prefix, Sieve};
use super::snapshot::Snapshot;
use super::survey::Survey;
use super::{archive, folder};
use crate::bail;
use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;
use crate::base::{Format, HostName, Plain};
use crate::identity::{Owners, PayloadRoot};

/// The largest window of a compressed archive: `zstd --long=31`.
const MAX_WINDOW_LOG: u32 = 31;

/// The state of `--state`.
#[derive(Clone, Debug)]
pub enum StateArg {
    Folder(PathBuf),
    /// An archive of tar, which may be compressed by zstd or gzip.
    Archive(PathBuf),
    Restic(ResticOptions),
}

impl StateArg {
    /// Checks what can be checked without reading the state.
    ///
    /// # Errors
    /// `Refused` for a source that cannot be read.
    pub fn check(&self, launcher: &Launcher) -> Result<()> {
        match self {
            Self::Folder(folder) => folder
                .read_dir()
                .map(drop)
                .map_err(|error| crate::failure!(Refused, "--state {}: {error}", folder.display())),
            Self::Archive(file) => open_archive(file).map(drop),
            Self::Restic(_) => ResticOptions::check(launcher),
        }
    }

    /// The folder or the file of the state; `None` for a repository that is none.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) | Self::Archive(path) => Some(path),
            Self::Restic(options) => {
                options.repository.as_deref().map(Path::new).filter(|path| path.exists())
            }
        }
    }
}

/// Fails once the user has asked to stop.
pub fn check_stop(cancel: &AtomicBool) -> Result<()> {
    if cancel.load(Ordering::Relaxed) {
        bail!(Interrupted, "stopped; no card was written");
    }
    Ok(())
}

/// The folder on the running host whose content a state is.
#[derive(Clone, Copy, Debug)]
pub struct HostFolder<'a> {
    /// The folder that the user names.
    pub named: Option<&'a str>,
    /// The folder otherwise.
    pub default: &'a str,
}

/// A state that can be read, and goes to the folder of a [`PayloadRoot`].
pub struct StateSource<'a> {
    root: &'a PayloadRoot,
    prefix: Prefix,
    place: Place<'a>,
    cancel: &'a AtomicBool,
}

enum Place<'a> {
    Folder(&'a Path, Owners),
    Archive(&'a Path),
    Restic(Restic<'a>, HashSet<Vec<u8>>),
}

impl<'a> StateSource<'a> {
    /// Opens `arg`, the state of `host`, which is the content of `folder`. Once `cancel` is set, reading fails.
    ///
    /// # Errors
    /// `Refused` for a source that cannot be read, and one without a state of the host.
    pub fn open(
        launcher: &'a Launcher,
        arg: &'a StateArg,
        host: &HostName,
        root: &'a PayloadRoot,
        folder: HostFolder<'_>,
        cancel: &'a AtomicBool,
    ) -> Result<Self> {
        let HostFolder { named, default } = folder;
        let folder = named.unwrap_or(default).trim_matches('/').to_owned();
        let fixed = named.is_some() || matches!(arg, StateArg::Restic(_));
        let prefix = if fixed { Prefix::Fixed(folder.clone()) } else { Prefix::Guessed(folder.clone()) };
        let place = match arg {
            StateArg::Folder(path) => Place::Folder(path, Owners::kept_if_run_by_root()),
            StateArg::Archive(path) => Place::Archive(path),
            StateArg::Restic(options) => {
                let folder = if folder.is_empty() { String::new() } else { format!("/{folder}") };
                let snapshot = options.find(launcher, host, &folder)?;
                Place::Restic(Restic::new(launcher, options, snapshot, &folder), HashSet::new())
            }
        };
        Ok(Self { root, prefix, place, cancel })
    }

    /// Measures the state, without the content of its files.
    ///
    /// # Errors
    /// `Refused` for a state without entries, and for one that cannot be read.
    pub fn survey(&mut self) -> Result<Survey> {
        let mut survey = Survey::default();
        let mut sieve = Sieve::new(self.root, self.prefix.clone());
        let cancel = self.cancel;
        let mut count = |raw: RawEntry| -> Result<()> {
            check_stop(cancel)?;
            sieve.sift(raw)?.map_or(Ok(()), |entry| survey.count(&entry))
        };
        match &mut self.place {
            Place::Restic(restic, special) => *special = restic.list(&mut count)?,
            place => place.visit(&mut |raw, _| count(raw))?,
        }
        survey.skipped = sieve.skipped;
        if survey.is_empty() {
            let (Prefix::Fixed(folder) | Prefix::Guessed(folder)) = &self.prefix;
            bail!(
                Refused, "{self} has no state: nothing is in it, or nothing below /{}", Plain(folder);
                hint: "name the folder of the state in it with --state-path"
            );
        }
        Ok(survey)
    }

    /// Passes each entry that a card gets to `visit`, with its content.
    pub fn visit(&self, visit: &mut dyn FnMut(StateEntry, &mut dyn Read) -> Result<()>) -> Result<()> {
        let mut sieve = Sieve::new(self.root, self.prefix.clone());
        self.place.visit(&mut |raw, content| match sieve.sift(raw)? {
            Some(entry) => visit(entry, content),
            None => Ok(()),
        })
    }

    /// Whether the source has no owners that can be trusted: a folder that is not read by root.
    pub fn lacks_owners(&self) -> bool {
        matches!(self.place, Place::Folder(_, Owners::Root))
    }
}

impl Place<'_> {
    fn visit(&self, visit: &mut dyn FnMut(RawEntry, &mut dyn Read) -> Result<()>) -> Result<()> {
        match self {
            Self::Folder(path, owners) => folder::visit(path, *owners, visit),
            Self::Archive(path) => archive::visit(open_archive(path)?, visit)
                .with_context(|| format!("reading {}", path.display())),
            Self::Restic(restic, special) => restic.visit(special, visit),
        }
    }
}

impl fmt::Display for StateSource<'_> {
    /// `the folder PATH`, or `snapshot 1a2b3c4d of 2026-11-28 03:10, of the host pi`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Folder(path, _) => write!(f, "the folder {}", Plain(path.display())),
            Place::Archive(path) => write!(f, "the archive {}", Plain(path.display())),
            Place::Restic(Restic { snapshot: Snapshot { id, time, hostname, .. }, .. }, _) => {
                let id = id.get(..8).unwrap_or(id);
                let time = time.get(..16).unwrap_or(time).replace('T', " ");
                write!(f, "snapshot {} of {}, of the host {}", Plain(id), Plain(time), Plain(hostname))
            }
        }
    }
}

/// Opens the archive `path`, and decompresses it.
///
/// # Errors
/// `Refused` for a file that cannot be opened, and for a format that is not read.
fn open_archive(path: &Path) -> Result<Box<dyn Read>> {
    let open = || bounded::open(path, Links::Follow);
    let refuse = |error| crate::failure!(Refused, "--state {}: {error}", path.display());
    let mut beginning = Vec::new();
    open().and_then(|file: File| file.take(16).read_to_end(&mut beginning)).map_err(refuse)?;
    let file = BufReader::new(open().map_err(refuse)?);
    match Format::sniff(&beginning) {
        Format::Raw => Ok(Box::new(file)),
        Format::Gzip => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(file))),
        Format::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file).map_err(refuse)?;
            decoder.window_log_max(MAX_WINDOW_LOG).map_err(refuse)?;
            Ok(Box::new(decoder))
        }
        other => bail!(
            Refused, "--state {}: an archive compressed by {other} is not read", path.display();
            hint: "decompress it, or compress it by zstd"
        ),
    }
}
