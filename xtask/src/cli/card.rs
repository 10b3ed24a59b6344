//! The command line of `card`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};

use super::flash::ImageArg;
use super::host_ref::image_source;
use super::{BuildArgs, Candidates, ChecksumArgs, ConfirmArgs};
use crate::bail;
use crate::boot::Board;

#[derive(Debug, Args)]
pub struct Card {
    #[command(subcommand)]
    pub command: CardCommand,
}

#[derive(Debug, Subcommand)]
pub enum CardCommand {
    /// Show what is on a card, which flash wrote it, and what keeps it from booting
    #[command(arg = super::hidden_flake_arg())]
    Inspect(CardInspect),
    /// Compare a card with the image of a host, an image file or the image of the card's receipt, without writing
    /// anything
    #[command(
        override_usage = "cargo xtask card verify [OPTIONS] <DEVICE>\n       cargo xtask card verify [OPTIONS] <HOST> <DEVICE> [-- <NIX ARGS>...]\n       cargo xtask card verify [OPTIONS] --image <FILE> <DEVICE>"
    )]
    Verify(CardVerify),
    /// Check the capacity of a card: write probes all over it, read them back, and restore the overwritten data
    Check(CardCheck),
}

#[derive(Debug, Args)]
pub struct CardInspect {
    /// The card, as `cargo xtask devices` lists it, or a file with the content of a card, which may be compressed
    #[arg(add = Candidates::Cards)]
    pub device: PathBuf,
    /// Show what this board would load from the card; fail if the board does not boot from it
    #[arg(long, value_enum, value_name = "BOARD")]
    pub board: Option<Board>,
    /// Allow decompression this much memory, such as 1GiB, where the file declares more than 256 MiB
    #[arg(long, value_name = "SIZE", value_parser = super::parse_memory_limit)]
    pub memory_limit: Option<u64>,
}

#[derive(Debug, Args)]
pub struct CardVerify {
    // A single word is the device: `image_and_device` decides.
    /// The host whose image is built and compared; without it, the image of --image or of the card's receipt
    #[arg(value_name = "HOST", add = Candidates::HostsAndCards)]
    first: Option<String>,
    /// The card, as `cargo xtask devices` lists it, or a file with the content of a card
    #[arg(value_name = "DEVICE", add = Candidates::Cards)]
    second: Option<String>,
    /// Compare with this file: .img, .img.zst, .img.xz, .img.gz or .img.bz2
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    #[command(flatten)]
    pub sums: ChecksumArgs,
    #[command(flatten)]
    pub build: BuildArgs,
    /// Allow decompression this much memory, such as 1GiB, where the image declares more than 256 MiB
    #[arg(long, value_name = "SIZE", value_parser = super::parse_memory_limit)]
    pub memory_limit: Option<u64>,
}

impl CardVerify {
    /// The argument that names the host, or the attribute of its image; `None` if no image is built.
    pub(super) fn host_word(&mut self) -> Option<&mut String> {
        if self.names_host() { self.first.as_mut() } else { None }
    }

    /// Whether a host is named, whose image is then built for the comparison.
    pub fn names_host(&self) -> bool {
        self.image.is_none() && self.second.is_some()
    }

    /// The image to compare with (`None`: the image of the card's receipt), and the card.
    ///
    /// # Errors
    /// `Usage` for no device, and for a host together with an image.
    pub fn image_and_device(&self) -> Result<(Option<ImageArg<'_>>, &Path)> {
        match (self.first.as_deref(), self.second.as_deref(), &self.image) {
            (Some(device), None, Some(file)) => Ok((Some(ImageArg::File(file)), Path::new(device))),
            (Some(host), Some(device), None) => {
                Ok((Some(ImageArg::Built(image_source(host))), Path::new(device)))
            }
            (Some(host), None, None) if is_bare_name(host) => bail!(
                Usage, "no device is named: {host} is not a device";
                hint: "if {host} is a host, name the device after it: {host} /dev/…, as `cargo xtask devices` lists it"
            ),
            (Some(device), None, None) => Ok((None, Path::new(device))),
            (_, Some(_), Some(_)) => Err(super::flash::host_and_image_error()),
            (None, None, Some(_)) => bail!(
                Usage, "no device is named"; hint: "name the device, as `cargo xtask devices` lists it"
            ),
            _ => bail!(
                Usage, "no device is named";
                hint: "name the device, and before it the host if the card has no receipt"
            ),
        }
    }
}

/// Whether `word` is neither a path nor the name of a device.
fn is_bare_name(word: &str) -> bool {
    !word.contains('/') && !Path::new(word).exists() && !Path::new("/dev").join(word).exists()
}

#[derive(Debug, Args)]
pub struct CardCheck {
    /// The card, as `cargo xtask devices` lists it
    #[arg(add = Candidates::Cards)]
    pub device: PathBuf,
    #[command(flatten)]
    pub confirm: ConfirmArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    #[test]
    fn verify_takes_a_device_and_at_most_one_image() {
        let parse = |first: Option<&str>, second: Option<&str>, image: Option<&str>| {
            let args = CardVerify {
                first: first.map(str::to_owned),
                second: second.map(str::to_owned),
                image: image.map(Into::into),
                memory_limit: None,
                sums: ChecksumArgs::default(),
                build: BuildArgs::default(),
            };
            args.image_and_device().map(|(image_arg, device)| format!("{image_arg:?} {}", device.display()))
        };
        assert_eq!(parse(Some("/d"), None, None).unwrap(), "None /d");
        assert_eq!(parse(Some("h"), Some("/d"), None).unwrap(), "Some(Built(Host(HostName(\"h\")))) /d");
        assert_eq!(parse(Some("/d"), None, Some("f")).unwrap(), "Some(File(\"f\")) /d");
        for (first, second, image) in [
            (None, None, None),
            (None, None, Some("f")),
            (Some("h"), Some("/d"), Some("f")),
            (Some("h"), None, None),
        ] {
            assert_eq!(kind(&parse(first, second, image).unwrap_err()), ExitKind::Usage);
        }
    }
}
