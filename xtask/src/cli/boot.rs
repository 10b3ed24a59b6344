//! The command line of `boot`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::flash::ImageArg;
use super::host_ref::image_source;
use super::{BuildArgs, Candidates, ChecksumArgs};
use crate::bail;
use crate::base::{Format, HostName, TimeLimit};
use crate::qemu::Machine;

/// The text after the options of `boot`.
pub(super) const EXAMPLES: &str = "\
Examples:
  cargo xtask boot stinky
  cargo xtask boot --image nixos.img.zst --expect 'Welcome to NixOS'
  cargo xtask boot /dev/sdb --machine raspi3b --timeout 20m";

#[derive(Debug, Args)]
pub struct Boot {
    /// The host whose image is built and booted, as `cargo xtask hosts` lists it, or the path of a card, as
    /// `cargo xtask devices` lists it, or of a file with the content of a card
    #[arg(value_name = "HOST|DEVICE", add = Candidates::HostsAndCards)]
    word: Option<String>,
    /// Boot this file: .img, .img.zst, .img.xz, .img.gz or .img.bz2
    #[arg(long, value_name = "FILE")]
    pub image: Option<PathBuf>,
    /// The machine that QEMU emulates
    #[arg(long, value_enum, default_value_t)]
    pub machine: Machine,
    /// Boot until the console prints this text, whatever ssh and the login do
    #[arg(long, value_name = "TEXT", value_parser = parse_expected)]
    pub expect: Option<String>,
    /// Fail where the host is not up after this time, such as 90s or 10m (default: 5m for virt, 15m for raspi3b)
    #[arg(long, value_name = "TIME", value_parser = TimeLimit::parse)]
    pub timeout: Option<TimeLimit>,
    /// With --image or a card: the host whose ssh host key must answer (default: that of the card's receipt)
    #[arg(long, value_name = "HOST", add = Candidates::Identities)]
    pub identity_of: Option<HostName>,
    #[command(flatten)]
    pub sums: ChecksumArgs,
    #[command(flatten)]
    pub build: BuildArgs,
    /// Allow decompression this much memory, such as 1GiB, where the image declares more than 256 MiB
    #[arg(long, value_name = "SIZE", value_parser = super::parse_memory_limit)]
    pub memory_limit: Option<u64>,
}

/// What is booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootArg<'a> {
    Image(ImageArg<'a>),
    /// A card, or a file with the content of one.
    Card(&'a Path),
}

impl Boot {
    /// The argument that names the host, or the attribute of its image; `None` if no image is built.
    pub(super) fn host_word(&mut self) -> Option<&mut String> {
        if self.names_host() { self.word.as_mut() } else { None }
    }

    /// Whether a host is named, whose image is then built.
    pub fn names_host(&self) -> bool {
        let is_host = |word: &String| !is_path(word) && !is_image_file(word);
        self.image.is_none() && self.word.as_ref().is_some_and(is_host)
    }

    /// The longest time that the boot may take.
    pub fn limit(&self) -> TimeLimit {
        let default = match self.machine {
            Machine::Virt => 5,
            Machine::Raspi3b => 15,
        };
        self.timeout.unwrap_or(TimeLimit::from_minutes(default))
    }

    /// What is booted.
    ///
    /// # Errors
    /// `Usage` for nothing, for an image together with a host or a card, and for an identity that no image of a host
    /// has.
    pub fn boot_arg(&self) -> Result<BootArg<'_>> {
        let found = match (self.word.as_deref(), &self.image) {
            (Some(_), Some(_)) => bail!(
                Usage, "--image excludes a host and a card"; hint: "name the host, the card, or --image FILE"
            ),
            (None, Some(file)) => BootArg::Image(ImageArg::File(file)),
            (Some(word), None) if is_path(word) => BootArg::Card(Path::new(word)),
            (Some(word), None) if is_image_file(word) => bail!(
                Usage, "{word} is a file, and a bare name is that of a host";
                hint: "pass --image {word}, or ./{word} for a file with the content of a card"
            ),
            (Some(word), None) => BootArg::Image(ImageArg::Built(image_source(word))),
            (None, None) => bail!(
                Usage, "nothing to boot is named";
                hint: "name the host, the card as /dev/…, or --image FILE"
            ),
        };
        if self.identity_of.is_some() && matches!(found, BootArg::Image(ImageArg::Built(_))) {
            bail!(
                Usage, "the image of a host has no identity: its flash writes one to the card";
                hint: "leave --identity-of out, or boot the flashed card"
            );
        }
        Ok(found)
    }
}

/// Whether `word` is a path: it has a `/`, and names neither a host of a flake (`./flake#pi`) nor an attribute.
fn is_path(word: &str) -> bool {
    word.contains('/') && (!word.contains('#') || Path::new(word).exists())
}

/// Whether `word` names an existing file with the name of an image.
fn is_image_file(word: &str) -> bool {
    let path = Path::new(word);
    let is_raw = path.extension().is_some_and(|ending| ending == "img");
    (is_raw || Format::of_name(word).is_some()) && path.is_file()
}

/// Parses a text to wait for on the console.
fn parse_expected(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("every line has it");
    }
    if text.contains(char::is_control) {
        return Err("a line of the console has no control characters");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::cli::{Cli, Command};

    /// What the command line `boot ARGS` boots.
    fn parse(args: &[&str]) -> Result<String> {
        let mut cli = Cli::try_parse_from([&["xtask", "boot"], args].concat())?;
        cli.take_flake()?;
        let Some(Command::Boot(boot)) = cli.command else { panic!("{args:?}") };
        let found = boot.boot_arg()?;
        Ok(format!("{found:?}"))
    }

    #[test]
    fn a_word_is_a_host_and_a_path_a_card() {
        for (args, expected) in [
            (&["pi"][..], "Image(Built(Host(HostName(\"pi\"))))"),
            (&["./flake#pi"], "Image(Built(Host(HostName(\"pi\"))))"),
            (&["github:o/f#pi"], "Image(Built(Host(HostName(\"pi\"))))"),
            (&["/dev/sdb"], "Card(\"/dev/sdb\")"),
            (&["./card.img"], "Card(\"./card.img\")"),
            (&["--image", "a.img"], "Image(File(\"a.img\"))"),
            (&["--image", "a.img", "--identity-of", "pi"], "Image(File(\"a.img\"))"),
        ] {
            assert_eq!(parse(args).unwrap(), expected, "{args:?}");
        }
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        for (args, expected) in [
            (&[][..], "nothing to boot is named"),
            (&["pi", "--image", "a.img"], "--image excludes a host and a card"),
            (&["pi", "--identity-of", "pi"], "the image of a host has no identity"),
            (&["pi", "--expect", " "], "every line has it"),
            (&["pi", "--expect", "a\nb"], "no control characters"),
            (&["pi", "--timeout", "0"], "must be more than 0"),
        ] {
            let error = parse(args).unwrap_err().to_string();
            assert!(error.contains(expected), "{args:?}: {error}");
        }
    }
}
