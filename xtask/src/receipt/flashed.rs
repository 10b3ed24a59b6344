//! The receipt of a successful flash.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Bytes, FlakeRef, HostName, Timestamp};
use crate::card::disk::{Disk, DiskKind};
use crate::card::flash::{FILE_SHA256, Mode, Plan, Rates, Report, Seconds, WrittenPayload};
use crate::card::inspect::PartitionTable;
use crate::identity::Identity;
use crate::nix::{Revision, StorePath};

/// A successful flash: the image, the card and the measurements.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flashed {
    // Receipts of earlier versions have the aliases, here and below.
    #[serde(rename = "time", alias = "when")]
    pub when: Timestamp,
    /// The host of the image; `None` for an image that was given as a file.
    pub host: Option<HostName>,
    /// The flake of the host; `None` as for `host`.
    pub flake: Option<String>,
    /// The git revision of the flake. Receipts of earlier versions do not have it.
    #[serde(default)]
    pub revision: Option<Revision>,
    /// The system that the card starts by default, a store path. Receipts of earlier versions do not have it.
    #[serde(default)]
    pub system: Option<String>,
    pub image: ImageId,
    pub card: CardId,
    /// The payload that was written beside the image, if any.
    #[serde(default, alias = "own")]
    pub payload: Option<PayloadReceipt>,
    pub mode: Mode,
    pub seconds: Seconds,
    #[serde(rename = "bytes_per_second", alias = "rates")]
    pub rates: Rates,
    /// How many chunks had to be written again.
    pub retries: u32,
    /// How many bytes of the image were written.
    #[serde(rename = "written_bytes", alias = "written")]
    pub written: u64,
}

/// The payload of a card. Of secret files the receipt has the names, but not the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PayloadReceipt {
    /// A description: `the identity of stinky and 3 files`.
    pub words: String,
    pub identity: Option<Identity>,
    /// The folder of the other files.
    pub files: Option<PathBuf>,
    /// The paths of all files, folders and links, relative to
    /// [`PayloadRoot::folder`](crate::identity::PayloadRoot::folder).
    pub paths: Vec<String>,
    /// The payload on the card, as read back.
    #[serde(rename = "written", alias = "added")]
    pub added: WrittenPayload,
}

/// The host of an image and the flake of the host; `None` for an image that was given as a file.
pub type Source<'a> = Option<(&'a HostName, &'a FlakeRef)>;

/// The image of a flash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageId {
    pub path: PathBuf,
    /// The store path that contains the image, if the image is in the Nix store.
    pub store_path: Option<String>,
    /// The decompressed size in bytes.
    #[serde(rename = "bytes", alias = "size")]
    pub size: u64,
    /// The hash of the decompressed image, as read back from the card.
    #[serde(with = "crate::card::image::digest")]
    #[schemars(with = "String")]
    pub hash: blake3::Hash,
    /// The SHA-256 of the image file in hexadecimal digits. Receipts of earlier versions do not have it.
    #[serde(default)]
    pub file_sha256: Option<String>,
    pub layout: PartitionTable,
}

/// The card of a flash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CardId {
    #[serde(rename = "device", alias = "path")]
    pub path: PathBuf,
    pub kind: DiskKind,
    /// The size in bytes.
    #[serde(rename = "bytes", alias = "size")]
    pub size: u64,
    /// The serial number, or the CID of an SD card.
    pub serial: Option<String>,
    /// The kernel's sequence number of the disk, which changes when a medium is changed.
    pub diskseq: Option<u64>,
    pub vendor: Option<String>,
    pub model: Option<String>,
}

impl Flashed {
    /// The receipt of a flash that has just succeeded.
    pub fn new(source: Source<'_>, plan: &Plan, report: &Report) -> Self {
        let path = plan.image.source.path.clone();
        let layout = plan.image.layout.clone();
        let store_path = store_path(&path);
        let file_sha256 = plan.image.file_sha256.clone();
        Self {
            when: Timestamp::now(),
            host: source.map(|(host, _)| host.to_owned()),
            flake: source.map(|(_, flake)| flake.to_string()),
            revision: None,
            system: report.system.clone(),
            image: ImageId { path, store_path, size: report.size, hash: report.hash, file_sha256, layout },
            payload: PayloadReceipt::new(plan, report),
            card: CardId::new(&plan.disk),
            mode: report.mode,
            seconds: report.seconds,
            rates: report.rates,
            retries: report.retries,
            written: report.written_bytes(),
        }
    }

    /// The receipt with the `revision` of the flake that the image was built from.
    pub fn with_revision(self, revision: Option<Revision>) -> Self {
        Self { revision, ..self }
    }

    /// The host of the card: the host of its image, else the host of its identity; `None` where the card has neither.
    pub fn card_host(&self) -> Option<&str> {
        self.host.as_deref().or(self.identity().map(|identity| identity.host.as_str()))
    }

    /// The identity that the card got, if any.
    pub fn identity(&self) -> Option<&Identity> {
        self.payload.as_ref()?.identity.as_ref()
    }

    /// The host of the image, or the file name of the image.
    pub fn subject(&self) -> String {
        subject(self.host.as_ref(), &self.image.path)
    }
}

/// The subject of a flash: `host`, or the file name of the image at `path`.
pub fn subject(host: Option<&HostName>, path: &Path) -> String {
    match host {
        Some(host) => host.to_string(),
        None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// The store path that contains `path`; `None` where `path` is not in the Nix store.
pub fn store_path(path: &Path) -> Option<String> {
    path.to_str().and_then(StorePath::containing).map(|path| path.to_string())
}

impl PayloadReceipt {
    fn new(plan: &Plan, report: &Report) -> Option<Self> {
        let payload = &plan.payload.as_ref()?.content;
        Some(Self {
            words: payload.summary(),
            identity: payload.identity.clone(),
            files: payload.files.clone(),
            paths: payload.entries.iter().map(|entry| entry.path.clone()).collect(),
            added: report.payload.clone()?,
        })
    }
}

impl fmt::Display for Flashed {
    /// `flashed 2026-11-25 12:00 UTC with the image of stinky, SHA-256 of the image file 5b9f…`; with a payload, also
    /// `, and the identity of stinky`. With `{:#}` the hash is short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = describe_image(self.host.as_ref(), &self.image.path);
        let (label, hash) = match &self.image.file_sha256 {
            Some(sum) => (FILE_SHA256, sum.clone()),
            None => ("hash", self.image.hash.to_hex().to_string()),
        };
        write!(f, "flashed {} with {image}, {label} {hash}", self.when)?;
        match &self.payload {
            Some(payload) => write!(f, ", and {}", payload.words),
            None => Ok(()),
        }
    }
}

/// The image in words: `the image of HOST`, or `the image PATH` for an image that was given as a file.
pub fn describe_image(host: Option<&HostName>, path: &Path) -> String {
    match host {
        Some(host) => format!("the image of {host}"),
        None => format!("the image {}", path.display()),
    }
}

impl CardId {
    pub fn new(disk: &Disk) -> Self {
        let Disk { path, kind, size, serial, diskseq, vendor, model, .. } = disk.clone();
        Self { path, kind, size, serial, diskseq, vendor, model }
    }

    /// `SanDisk Ultra (29.7 GiB, serial 4C530001)`; the kind of the card where its model is unknown.
    pub fn summary(&self) -> String {
        let names = [&self.vendor, &self.model].into_iter().flatten().map(|name| name.trim());
        let names = names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
        let name = if names.is_empty() { self.kind.to_string() } else { names };
        let serial = self.serial.as_ref().map(|serial| format!(", serial {serial}")).unwrap_or_default();
        format!("{name} ({}{serial})", Bytes(self.size))
    }

    /// Whether `disk` is this card: by the serial number, or by the device if neither has one. The size counts too,
    /// because a card reader reports its own serial number.
    pub fn is(&self, disk: &Disk) -> bool {
        let is_same = match (&self.serial, &disk.serial) {
            (Some(then), Some(now)) => then == now,
            (None, None) => {
                identifying_path(&self.kind, &self.path) == identifying_path(&disk.kind, &disk.path)
            }
            _ => false,
        };
        is_same && self.size == disk.size
    }
}

/// The path that identifies a card without a serial number: the file of a virtual card, which may have another loop
/// device today; otherwise the device, which is `path`.
fn identifying_path<'a>(kind: &'a DiskKind, path: &'a Path) -> &'a Path {
    match kind {
        DiskKind::Loop { backing: Some(file) } => file,
        _ => path,
    }
}
