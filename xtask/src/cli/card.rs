//! `card`: looking at one.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ConfirmArgs;

#[derive(Debug, Args)]
pub struct Card {
    #[command(subcommand)]
    pub what: CardCommand,
}

#[derive(Debug, Subcommand)]
pub enum CardCommand {
    /// Say what is on a card, whose image it is, and what would keep it from booting
    #[command(arg = super::no_flake())]
    Inspect(CardInspect),
    /// Compare a card with an image without writing anything: that of a host, a file, or the one of its receipt
    #[command(
        override_usage = "cargo xtask card verify [OPTIONS] <DEVICE>\n       cargo xtask card verify [OPTIONS] <HOST> <DEVICE>\n       cargo xtask card verify [OPTIONS] --image <FILE> <DEVICE>"
    )]
    Verify(CardVerify),
    /// Check that a card holds what it says: stamps are written all over it, and what was there is put back
    Check(CardCheck),
}

#[derive(Debug, Args)]
pub struct CardInspect {
    /// The card, as `cargo xtask devices` lists it, or a file that stands for one
    pub device: PathBuf,
}

#[derive(Debug, Args)]
pub struct CardVerify {
    /// The host whose image is built and compared; none for the image of --image or of the receipt
    #[arg(value_name = "HOST")]
    pub first: Option<String>,
    /// The card, as `cargo xtask devices` lists it, or a file that stands for one
    #[arg(value_name = "DEVICE")]
    pub second: Option<String>,
    /// Compare with this file: .img, .img.zst, .img.xz or .img.gz
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// Let decompressing the image take this much memory, such as 1GiB, where it says that it takes more than 256 MiB
    #[arg(long, value_name = "SIZE", value_parser = super::memory)]
    pub memory_limit: Option<u64>,
}

#[derive(Debug, Args)]
pub struct CardCheck {
    /// The card, as `cargo xtask devices` lists it
    pub device: PathBuf,
    #[command(flatten)]
    pub confirm: ConfirmArgs,
}
