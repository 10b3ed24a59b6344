//! The receipt of a flash.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::card::disk::{Disk, Kind};
use crate::card::flash::{Added, Mode, Plan, Rates, Report, Seconds};
use crate::card::inspect::PartitionTable;
use crate::identity::{Identity, Payload};
use crate::nix::StorePath;

/// So many characters of a hash tell one image from another, for people.
const SHORT_HASH: usize = 12;

/// What was written to which card, and how that went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flashed {
    pub when: Timestamp,
    /// The host whose image it is; none for an image that was given as a file.
    pub host: Option<String>,
    /// The flake that has the host.
    pub flake: Option<String>,
    pub image: ImageId,
    pub card: CardId,
    /// What was put on the card beside the image.
    #[serde(default)]
    pub own: Option<PayloadReceipt>,
    pub mode: Mode,
    pub seconds: Seconds,
    pub rates: Rates,
    /// How often a MiB had to be written again.
    pub retries: u32,
    /// How many bytes of the image had to be written.
    pub written: u64,
}

/// What a card has beside its image. Of secrets, it has the names alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadReceipt {
    /// `the identity of stinky and 3 files`.
    pub words: String,
    pub identity: Option<Identity>,
    /// The folder that the other files are from.
    pub files: Option<PathBuf>,
    /// All files, folders and links, as they are called below /persist.
    pub paths: Vec<String>,
    pub added: Added,
}

/// The host whose image it is, and its flake; none for an image that was given as a file.
pub type Source<'a> = Option<(&'a str, &'a str)>;

/// Which image it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageId {
    pub path: PathBuf,
    /// Its path in the Nix store, if it lies there.
    pub store_path: Option<String>,
    /// In bytes, decompressed.
    pub size: u64,
    /// The hash of its content, as read back from the card.
    #[serde(with = "crate::card::image::digest")]
    pub hash: blake3::Hash,
    pub layout: PartitionTable,
}

/// Which card it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardId {
    pub path: PathBuf,
    pub kind: Kind,
    /// In bytes.
    pub size: u64,
    /// The serial number, or the CID of an SD card.
    pub serial: Option<String>,
    pub diskseq: Option<u64>,
    pub vendor: Option<String>,
    pub model: Option<String>,
}

impl Flashed {
    /// The receipt of a flash that has just ended.
    pub fn new(source: Source<'_>, plan: &Plan, report: &Report) -> Self {
        let (path, layout) = (plan.image.source.path.clone(), plan.image.layout.clone());
        let store_path = store_path(&path);
        Self {
            when: Timestamp::now(),
            host: source.map(|(host, _)| host.to_owned()),
            flake: source.map(|(_, flake)| flake.to_owned()),
            image: ImageId { path, store_path, size: report.size, hash: report.hash, layout },
            own: PayloadReceipt::new(plan, report),
            card: CardId::new(&plan.disk),
            mode: report.mode,
            seconds: report.seconds,
            rates: report.rates,
            retries: report.retries,
            written: report.written(),
        }
    }

    /// The host whose card it is, by its image or by its identity.
    pub fn about_host(&self) -> Option<&str> {
        let identity = self.own.as_ref().and_then(|own| own.identity.as_ref());
        self.host.as_deref().or(identity.map(|identity| identity.host.as_str()))
    }

    /// The host, or the name of the image.
    pub fn about(&self) -> String {
        about(self.host.as_deref(), &self.image.path)
    }
}

/// `host`, or the name of the image at `path`.
pub fn about(host: Option<&str>, path: &Path) -> String {
    let file = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    host.map_or_else(file, str::to_owned)
}

/// The path in the Nix store that has `path`, if it lies there.
pub fn store_path(path: &Path) -> Option<String> {
    path.to_str().and_then(StorePath::containing).map(|path| path.to_string())
}

impl PayloadReceipt {
    fn new(plan: &Plan, report: &Report) -> Option<Self> {
        let Payload { identity, files, entries } = &plan.carried.as_ref()?.payload;
        Some(Self {
            words: plan.carried.as_ref()?.payload.summary(),
            identity: identity.clone(),
            files: files.clone(),
            paths: entries.iter().map(|entry| entry.path.clone()).collect(),
            added: report.added.clone()?,
        })
    }
}

impl fmt::Display for Flashed {
    /// `flashed 2026-11-25 12:00 UTC with the image of stinky, hash 5b9f…`; with `{:#}` the hash is short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flashed {} with the image ", self.when)?;
        match &self.host {
            Some(host) => write!(f, "of {host}"),
            None => write!(f, "{}", self.image.path.display()),
        }?;
        let hash = self.image.hash.to_hex();
        write!(f, ", hash {}", if f.alternate() { &hash[..SHORT_HASH] } else { &hash })?;
        self.own.as_ref().map_or(Ok(()), |own| write!(f, ", and {}", own.words))
    }
}

impl CardId {
    pub fn new(disk: &Disk) -> Self {
        let Disk { path, kind, size, serial, diskseq, vendor, model, .. } = disk.clone();
        Self { path, kind, size, serial, diskseq, vendor, model }
    }

    /// Whether `disk` is this card: by its serial number, or by where it is where that says nothing. A card
    /// reader has the serial number of itself, so the size counts too.
    pub fn is(&self, disk: &Disk) -> bool {
        let same = match (&self.serial, &disk.serial) {
            (Some(then), Some(now)) => then == now,
            (None, None) => card_path(&self.kind, &self.path) == card_path(&disk.kind, &disk.path),
            _ => false,
        };
        same && self.size == disk.size
    }
}

/// The file behind a virtual card, which may have another loop device today; otherwise the device.
fn card_path<'a>(kind: &'a Kind, path: &'a Path) -> &'a Path {
    match kind {
        Kind::Loop { backing: Some(file) } => file,
        _ => path,
    }
}
