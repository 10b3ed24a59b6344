//! The command line of `flash`, and the confirmation of commands that write to a card.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::host_ref::image_source;
use super::{BuildArgs, Candidates, ChecksumArgs, PayloadArgs};
use crate::base::{HostName, ImageSource};
use crate::boot::Board;
use crate::{bail, failure};

/// The text after the options of `flash`.
pub(super) const EXAMPLES: &str = "\
Examples:
  cargo xtask flash stinky
  cargo xtask flash stinky /dev/mmcblk0
  cargo xtask flash --image nixos.img.zst /dev/sdb
  cargo xtask flash stinky /dev/sdb --yes --expect-serial 4C530001";

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
    /// The host whose image is built and written, as `cargo xtask hosts` lists it; leave it out with --image
    // With --image, this word is the device: `image_and_device` decides.
    #[arg(value_name = "HOST", add = Candidates::HostsAndCards)]
    first: Option<String>,
    /// The card, as `cargo xtask devices` lists it; all its data will be lost. Without it, one that
    /// is picked from a list, or else the one that is inserted next
    #[arg(value_name = "DEVICE", add = Candidates::Cards)]
    second: Option<String>,
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
    /// The argument that may name the host, or the attribute of its image; `None` if it can only be the device.
    pub(super) fn host_word(&mut self) -> Option<&mut String> {
        if self.image.is_some() {
            return None;
        }
        self.first.as_mut().filter(|word| !word.starts_with("/dev/"))
    }

    /// The image to write, and the card; `None` for the card that is inserted next.
    ///
    /// # Errors
    /// `Usage` for neither a host nor an image, and for both.
    pub fn image_and_device(&self) -> Result<(ImageArg<'_>, Option<&Path>)> {
        match (self.first.as_deref(), self.second.as_deref(), &self.image) {
            (device, None, Some(file)) => {
                self.payload.require_no_configuration()?;
                Ok((ImageArg::File(file), device.map(Path::new)))
            }
            (Some(host), None, None) if !is_path(host) => Ok((ImageArg::Built(image_source(host)), None)),
            (Some(host), Some(device), None) => {
                Ok((ImageArg::Built(image_source(host)), Some(Path::new(device))))
            }
            (_, Some(_), Some(_)) => Err(host_and_image_error()),
            _ => bail!(
                Usage, "neither a host nor an image is named";
                hint: "name the host or pass --image FILE; without a device, you pick or insert a card"
            ),
        }
    }
}

/// Whether `word` is a path, and so no host and no attribute of a flake (`#ATTRIBUTE`).
fn is_path(word: &str) -> bool {
    word.contains('/') && !word.starts_with('#')
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
    /// Refuse an image from which this board does not boot, and verify on the card that the board does
    #[arg(long, value_enum, value_name = "BOARD")]
    pub board: Option<Board>,
    /// Show the plan and check the card, but write nothing and ask nothing; needs the device
    #[arg(long)]
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
    /// Refuse a card of another size: bytes, or a whole number with KiB, MiB, GiB, TiB, KB, MB, GB or TB
    #[arg(long, value_name = "SIZE")]
    pub expect_size: Option<String>,
    /// Refuse a card with another serial number
    #[arg(long, value_name = "SERIAL")]
    pub expect_serial: Option<String>,
    /// Also accept loop devices and plain files
    #[arg(long)]
    pub allow_virtual: bool,
}
