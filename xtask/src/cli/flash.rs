//! The command line of `flash`, and the confirmation of commands that write to a card.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{BuildArgs, Candidates, CardTo, ChecksumArgs, PayloadArgs};
use crate::base::{HostName, ImageSource, parse_bytes};
use crate::boot::Board;
use crate::failure;

/// The text after the options of `flash`.
pub(super) const EXAMPLES: &str = "\
Examples:
  cargo xtask flash stinky
  cargo xtask flash stinky /dev/mmcblk0
  cargo xtask flash --image nixos.img.zst /dev/sdb
  cargo xtask flash stinky /dev/sdb --yes --expect-serial 4C530001
  cargo xtask flash stinky smelly
  cargo xtask flash --image nixos.img --to /dev/sdb=stinky --to /dev/sdc=smelly";

/// The image that a command writes or compares: of a host, or in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageArg<'a> {
    /// An image that is built from the flake.
    Built(ImageSource),
    /// The file of `--image`.
    File(&'a Path),
}

impl<'a> ImageArg<'a> {
    /// The host of the image; `None` for a file, and for an attribute whose path names no host.
    pub fn host(&self) -> Option<HostName> {
        match self {
            Self::Built(source) => source.host(),
            Self::File(_) => None,
        }
    }

    pub fn file(&self) -> Option<&'a Path> {
        match self {
            Self::Built(_) => None,
            Self::File(file) => Some(file),
        }
    }
}

#[derive(Debug, Args)]
pub struct Flash {
    /// The host whose image is built and written, as `cargo xtask hosts` lists it, and the card, as `cargo xtask
    /// devices` lists it; all its data will be lost. Without a card, one that is picked from a list, or else the one
    /// that is inserted next. Several hosts get a card each
    // With --image, the only word is the device: `targets` decides.
    #[arg(value_name = "HOST|DEVICE", add = Candidates::HostsAndCards)]
    pub(super) words: Vec<String>,
    /// Write this card with the image of this host, or with --image and the identity of the host, if it is named; may
    /// be repeated, to write several cards at once
    // Other commands have an address by this name.
    #[arg(id = "cards", long = "to", value_name = "DEVICE[=HOST]", conflicts_with = "words", add = Candidates::Cards)]
    pub to: Vec<CardTo>,
    /// Write this file instead of a host's image: .img, .img.zst, .img.xz, .img.gz or .img.bz2
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    #[command(flatten)]
    pub sums: ChecksumArgs,
    #[command(flatten)]
    pub build: BuildArgs,
    #[command(flatten)]
    pub payload: PayloadArgs,
    /// Check the image again, even if an earlier check passed and the file has not changed since
    #[arg(long)]
    pub check_image: bool,
    /// Allow decompression this much memory, such as 1GiB, where the image declares more than 256 MiB
    #[arg(long, value_name = "SIZE", value_parser = super::parse_memory_limit)]
    pub memory_limit: Option<u64>,
    #[command(flatten)]
    pub write: WriteArgs,
}

impl Flash {
    /// The arguments that may name a host, or the attribute of its image.
    pub(super) fn host_words(&mut self) -> Vec<&mut String> {
        if self.image.is_some() {
            return Vec::new();
        }
        let has_device = self.words.len() == 2 && is_device(&self.words[1]);
        let count = if has_device { 1 } else { self.words.len() };
        self.words.iter_mut().take(count).filter(|word| !word.starts_with("/dev/")).collect()
    }
}

/// Whether `word` is a path, and so no host and no attribute of a flake (`#ATTRIBUTE`).
pub(super) fn is_path(word: &str) -> bool {
    word.contains('/') && !word.starts_with('#')
}

/// Whether `word`, which may name a host, names a card.
pub(super) fn is_device(word: &str) -> bool {
    let is_file = |path: &Path| path.exists() && !path.is_dir();
    is_path(word) || is_file(Path::new(word)) || is_file(&Path::new("/dev").join(word))
}

/// The error of a command line with both a host and an image.
pub(super) fn host_and_image_error() -> anyhow::Error {
    failure!(Usage, "a host and --image exclude each other"; hint: "name either the host or --image FILE")
}

/// How a card is written.
#[derive(Debug, Args)]
pub struct WriteArgs {
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    /// Unmount the card without asking, if it is mounted
    #[arg(long)]
    pub unmount: bool,
    /// How the image is written; in each mode the card holds exactly the image afterwards
    #[arg(long, value_enum, default_value_t)]
    pub mode: crate::card::flash::Mode,
    /// Refuse an image from which this board does not boot, and verify on the card that the board does (default:
    /// `raspberryPi.boards` of the host)
    #[arg(long, value_enum, value_name = "BOARD")]
    pub board: Option<Board>,
    /// Show the plan and check the card, but write nothing and ask nothing; needs the device
    #[arg(long, alias = "plan")]
    pub dry_run: bool,
    /// Do not eject the card afterwards
    #[arg(long)]
    pub no_eject: bool,
}

/// How the user confirms that a card is overwritten.
#[derive(Debug, Args)]
pub struct ConfirmArgs {
    /// Do not ask for the name of the card; needs --expect-size or --expect-serial
    #[arg(long)]
    pub yes: bool,
    /// Refuse a card of another size: bytes, or a number with KiB, MiB, GiB, TiB, KB, MB, GB or TB
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub expect_size: Option<u64>,
    /// Refuse a card with another serial number
    #[arg(long, value_name = "SERIAL")]
    pub expect_serial: Option<String>,
    /// Also accept loop devices and plain files
    #[arg(long)]
    pub allow_virtual: bool,
}
