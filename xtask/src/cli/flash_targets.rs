//! The cards of `flash`: what the command line writes to which of them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;

use super::flash::{Flash, ImageArg, host_and_image_error, is_device, is_path};
use super::host_ref::image_source;
use crate::base::{HostName, is_disk_name, shell};
use crate::card::disk::absent_error;
use crate::{bail, failure};

/// The value of `--to`: a card, and the host whose image or identity it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardTo {
    pub device: PathBuf,
    pub host: Option<HostName>,
}

impl FromStr for CardTo {
    type Err = Infallible;

    /// Reads `DEVICE` or `DEVICE=HOST`. Paths below `/dev/disk` may have an equals sign, host names have none.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.rsplit_once('=') {
            Some((device, host)) if !host.contains('/') => {
                Self { device: device.into(), host: Some(host.into()) }
            }
            _ => Self { device: text.into(), host: None },
        })
    }
}

/// A card and what it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardTarget<'a> {
    pub image: ImageArg<'a>,
    /// The host whose identity the card gets, if it is not that of the image.
    pub identity_of: Option<&'a HostName>,
    /// `None` for a card that is picked, or inserted next.
    pub device: Option<&'a Path>,
}

impl Flash {
    /// The cards to write, in the order of the command line: at least one.
    ///
    /// # Errors
    /// `Usage` for neither a host nor an image, for both, for a host or a device that is named twice, and for options
    /// that are for one card.
    pub fn targets(&self) -> Result<Vec<CardTarget<'_>>> {
        if self.image.is_some() {
            self.payload.require_no_configuration()?;
        }
        let targets = if self.to.is_empty() { self.targets_of_words()? } else { self.targets_of_options()? };
        require_distinct(&targets)?;
        if targets.len() > 1 {
            self.require_options_of_several()?;
        }
        Ok(targets)
    }

    /// The cards of the words on the command line.
    fn targets_of_words(&self) -> Result<Vec<CardTarget<'_>>> {
        fn target<'a>(image: ImageArg<'a>, device: Option<&'a String>) -> CardTarget<'a> {
            CardTarget { image, identity_of: None, device: device.map(Path::new) }
        }
        let built = |host: &String| ImageArg::Built(image_source(host));
        match (&self.words[..], &self.image) {
            ([], Some(file)) => Ok(vec![target(ImageArg::File(file), None)]),
            ([device], Some(file)) => Ok(vec![target(ImageArg::File(file), Some(device))]),
            (_, Some(_)) => Err(host_and_image_error()),
            ([host, device], None) if is_device(device) => Ok(vec![target(built(host), Some(device))]),
            (hosts, None) if !hosts.is_empty() && !hosts.iter().any(|word| is_path(word)) => {
                Ok(hosts.iter().map(|host| target(built(host), None)).collect())
            }
            ([device, host], None) if !is_path(host) => bail!(
                Usage, "the host comes before its card";
                hint: "`cargo xtask flash {} {}`", shell::quote(host), shell::quote(device)
            ),
            ([_, _, ..], None) => Err(device_among_hosts_error()),
            _ => bail!(
                Usage, "neither a host nor an image is named";
                hint: "name the host or pass --image FILE; without a device, you pick or insert a card"
            ),
        }
    }

    /// The words behind the first that are read as hosts, and that are names of disks: each is a card, unless the flake
    /// has a host of that name.
    pub fn disk_names(&self) -> impl Iterator<Item = &str> {
        let is_read_as_host =
            self.image.is_none() && !matches!(&self.words[..], [_, device] if is_device(device));
        let words = self.words.iter().skip(1).map(String::as_str);
        words.filter(move |word| is_read_as_host && is_disk_name(word))
    }

    /// The error for the word `name`, which is the name of a disk, and no host of the flake: the disk is not there, or
    /// stands among several hosts.
    pub fn disk_name_error(&self, name: &str) -> anyhow::Error {
        if self.words.len() == 2 {
            return absent_error(&Path::new("/dev").join(name));
        }
        device_among_hosts_error()
    }

    /// The cards of `--to`.
    fn targets_of_options(&self) -> Result<Vec<CardTarget<'_>>> {
        let targets = self.to.iter().map(|CardTo { device, host }| {
            let (image, identity_of) = match (&self.image, host) {
                (Some(file), _) => (ImageArg::File(file.as_path()), host.as_ref()),
                (None, Some(host)) => (ImageArg::Built(image_source(host)), None),
                (None, None) => bail!(
                    Usage, "--to {} names no host", device.display();
                    hint: "name the host by --to DEVICE=HOST, or pass --image FILE"
                ),
            };
            Ok(CardTarget { image, identity_of, device: Some(device) })
        });
        targets.collect()
    }

    /// Fails for an option that names something of one card.
    fn require_options_of_several(&self) -> Result<()> {
        let confirm = &self.write.confirm;
        let options = [
            (
                "--expect-serial",
                confirm.expect_serial.is_some(),
                "pass --expect-size, which all cards must have",
            ),
            (
                "--identity-of",
                self.payload.identity_of.is_some(),
                "name the host of each card by --to DEVICE=HOST",
            ),
        ];
        if let Some((option, _, hint)) = options.into_iter().find(|(_, is_given, _)| *is_given) {
            bail!(Usage, "{option} is for one card, and several are named"; hint: "{hint}");
        }
        Ok(())
    }
}

/// The error for several hosts and a device among them.
fn device_among_hosts_error() -> anyhow::Error {
    failure!(
        Usage, "a device is named among several hosts";
        hint: "name the card of each host by --to DEVICE=HOST"
    )
}

/// Fails where two of the `targets` name the same device, or the same host: two machines with one identity would get in
/// each other's way.
fn require_distinct(targets: &[CardTarget]) -> Result<()> {
    let mut devices = BTreeSet::new();
    let mut hosts = BTreeSet::new();
    for target in targets {
        if let Some(device) = target.device.filter(|device| !devices.insert(*device)) {
            bail!(Usage, "{} is named twice", device.display(); hint: "name each card once");
        }
        let host = target.identity_of.cloned().or_else(|| target.image.host());
        if let Some(host) = host.filter(|host| !hosts.insert(host.clone())) {
            bail!(
                Usage, "{host} is named twice, and a host has one card";
                hint: "write one image to several cards by --image FILE, and name a host for each by --to DEVICE=HOST"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::base::failure::{ExitKind, kind};
    use crate::cli::{Cli, Command};

    /// The targets of the command line `flash` with these `words`: `IMAGE DEVICE IDENTITY` of each.
    fn targets(words: &str) -> Result<Vec<String>> {
        let words = words.split_whitespace();
        let cli = Cli::try_parse_from(["xtask", "flash"].into_iter().chain(words))?;
        let Some(Command::Flash(flash)) = cli.command else { panic!("another command") };
        let shown = flash.targets()?.into_iter().map(|target| {
            let image = match &target.image {
                ImageArg::Built(_) => target.image.host().map_or("?".to_owned(), |host| host.to_string()),
                ImageArg::File(file) => file.display().to_string(),
            };
            let device = target.device.map_or("-".into(), Path::to_string_lossy);
            format!("{image} {device} {}", target.identity_of.map_or("-", |host| host.as_str()))
        });
        Ok(shown.collect())
    }

    #[test]
    fn each_card_gets_an_image_and_an_identity() {
        for (words, expected) in [
            ("a", &["a - -"][..]),
            ("a /dev/x", &["a /dev/x -"]),
            ("a b c", &["a - -", "b - -", "c - -"]),
            ("--image f", &["f - -"]),
            ("--image f /dev/x", &["f /dev/x -"]),
            ("--to /dev/x=a", &["a /dev/x -"]),
            ("--to /dev/x=a --to /dev/y=b", &["a /dev/x -", "b /dev/y -"]),
            ("--image f --to /dev/x --to /dev/y", &["f /dev/x -", "f /dev/y -"]),
            ("--image f --to /dev/x=a --to /dev/y=b", &["f /dev/x a", "f /dev/y b"]),
            ("--image f --to /dev/disk/by-path/a=b/c", &["f /dev/disk/by-path/a=b/c -"]),
        ] {
            assert_eq!(targets(words).unwrap(), expected, "{words}");
        }
    }

    #[test]
    fn a_command_line_without_a_meaning_is_refused() {
        for (words, problem) in [
            ("", "neither a host nor an image is named"),
            ("/dev/x", "neither a host nor an image is named"),
            ("--image f a /dev/x", "a host and --image exclude each other"),
            ("a b /dev/x", "a device is named among several hosts"),
            ("/dev/x a", "the host comes before its card"),
            ("/dev/x a b", "a device is named among several hosts"),
            ("a b a", "a is named twice, and a host has one card"),
            ("--to /dev/x=a --to /dev/y=a", "a is named twice, and a host has one card"),
            ("--image f --to /dev/x=a --to /dev/y=a", "a is named twice, and a host has one card"),
            ("--to /dev/x=a --to /dev/x=b", "/dev/x is named twice"),
            ("--to /dev/x", "--to /dev/x names no host"),
            ("a b --yes --expect-serial 1", "--expect-serial is for one card, and several are named"),
            (
                "--image f --to /dev/x --to /dev/y --identity-of a",
                "--identity-of is for one card, and several are named",
            ),
        ] {
            let error = targets(words).unwrap_err();
            assert_eq!((error.to_string().as_str(), kind(&error)), (problem, ExitKind::Usage), "{words}");
        }
        assert!(targets("a --to /dev/x=b").is_err());
    }
}
