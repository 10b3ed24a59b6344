//! What is booted: a card, or an image.

use std::path::Path;

use anyhow::Result;

use crate::bail;
use crate::base::{Context, Format, HostName};
use crate::card::disk::{self, Disk, DiskKind, Locked, Roots};
use crate::card::image::{self, Built, CheckCache, Image, Limits, Source};
use crate::cli::{Boot, BootArg, ImageArg};
use crate::qemu::snapshot;
use crate::receipt;

/// What is booted.
pub struct Subject {
    /// The name for people.
    pub name: String,
    pub content: Content,
    pub identity: KnownIdentity,
}

/// The content of the snapshot.
pub enum Content {
    Card(Box<Disk>),
    Image(Box<Image>),
}

/// The host whose ssh key the booted host should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownIdentity {
    /// The user names the host.
    Named(HostName),
    /// The receipt of the card names the host.
    OfReceipt(HostName),
    /// The image of a host has no identity before its flash.
    BeforeFlash,
    /// Nothing names the host.
    Unknown,
}

impl Subject {
    /// Opens what `boot_arg` names: builds the image of a host, checks an image, and finds a card with its receipt.
    ///
    /// # Errors
    /// Those of the build and of the check of an image, a card that this user may not read, and a compressed file that
    /// is named as a card.
    pub fn open(cx: &Context, args: &Boot, boot_arg: &BootArg) -> Result<Self> {
        match boot_arg {
            BootArg::Card(path) => Self::open_card(cx, args, path),
            BootArg::Image(ImageArg::File(file)) => {
                let image = check(cx, args, Source::open(file)?.with_sums(args.sums.given_sums()))?;
                let name = file.display().to_string();
                Ok(Self { name, content: Content::Image(image.into()), identity: named(args) })
            }
            BootArg::Image(ImageArg::Built(source)) => {
                let Built { file, .. } =
                    image::build(cx, source, args.build.file.as_deref(), &args.build.nix.nix_args)?;
                let image = check(cx, args, Source::open(&file)?)?;
                let name = format!("the image of {source}");
                let identity = KnownIdentity::BeforeFlash;
                Ok(Self { name, content: Content::Image(image.into()), identity })
            }
        }
    }

    fn open_card(cx: &Context, args: &Boot, path: &Path) -> Result<Self> {
        let disk = Disk::load(&Roots::default(), path)?;
        let shown = disk.path.display();
        if disk.size == 0 {
            bail!(Refused, "there is no card in {shown}"; hint: "insert the card and retry");
        }
        snapshot::check_readable(&disk.path)?;
        if matches!(disk.kind, DiskKind::File { .. }) {
            refuse_compressed(path)?;
        }
        for used in &disk.uses {
            cx.warn(format!("{used}: the snapshot is that of a card in use, and may be inconsistent"));
        }
        let identity = match named(args) {
            KnownIdentity::Unknown => identity_of_receipt(cx, &disk),
            known => known,
        };
        Ok(Self { name: path.display().to_string(), content: Content::Card(disk.into()), identity })
    }

    /// Locks the card against those who write to it, as long as the value lives; `None` for an image.
    ///
    /// # Errors
    /// `Refused` for a card that is being written.
    pub fn lock_card(&self) -> Result<Option<Locked>> {
        match &self.content {
            Content::Card(disk) => disk::open_shared(&Roots::default(), disk).map(Some),
            Content::Image(_) => Ok(None),
        }
    }

    /// The file or the device with the content.
    pub fn path(&self) -> &Path {
        match &self.content {
            Content::Card(disk) => &disk.path,
            Content::Image(image) => &image.source.path,
        }
    }

    /// The size of the decompressed content, in bytes.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Card(disk) => disk.size,
            Content::Image(image) => image.size,
        }
    }

    /// The compressed image; `None` for any other content.
    pub fn compressed(&self) -> Option<&Image> {
        match &self.content {
            Content::Image(image) if image.source.format != Format::Raw => Some(image),
            _ => None,
        }
    }
}

/// The host that the user names.
fn named(args: &Boot) -> KnownIdentity {
    args.identity_of.clone().map_or(KnownIdentity::Unknown, KnownIdentity::Named)
}

/// The host whose identity the last flash wrote to the card `disk`.
fn identity_of_receipt(cx: &Context, disk: &Disk) -> KnownIdentity {
    let identity = receipt::of_card(cx, disk).and_then(|flashed| flashed.payload?.identity);
    identity
        .map_or(KnownIdentity::Unknown, |identity| KnownIdentity::OfReceipt(identity.host.as_str().into()))
}

/// Checks the whole image, unless an earlier check of the same file has passed.
fn check(cx: &Context, args: &Boot, source: Source) -> Result<Image> {
    let source = source.with_limits(Limits::new(args.memory_limit, None));
    image::examine_once(source, &CheckCache::new(&cx.state), cx.reporter.as_ref())
}

/// Refuses a compressed file, which is no content of a card.
fn refuse_compressed(path: &Path) -> Result<()> {
    let source = Source::open(path)?;
    if source.format == Format::Raw {
        return Ok(());
    }
    let shown = path.display();
    bail!(Usage, "{shown} is compressed, and no card"; hint: "pass --image {shown}")
}
