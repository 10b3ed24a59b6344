//! The command line of `sd-image`, and the options of all commands that build or read an image.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{Candidates, host_ref};
use crate::bail;
use crate::base::{Address, HostName, ImageSource, TimeLimit, is_hostname, is_user, split_destination};
use crate::card::image::{GivenSums, Sum, parse_sha256};

/// The system of every 64-bit Pi.
const RASPBERRY_PI_SYSTEM: &str = "aarch64-linux";
/// The feature that kernels, compilers and browsers of nixpkgs require of a machine.
const BIG_BUILDS: &str = "big-parallel";

#[derive(Debug, Args)]
pub struct SdImage {
    /// The hosts, as `cargo xtask hosts` lists them, or FLAKE#ATTRIBUTE
    #[arg(value_name = "HOST", add = Candidates::Hosts, required_unless_present = "all", conflicts_with = "all")]
    pub hosts: Vec<HostName>,
    /// Build the images of all hosts of the flake that have one
    #[arg(long)]
    pub all: bool,
    /// Show what would be built and fetched, and how long that takes, without building
    #[arg(long, alias = "dry-run")]
    pub plan: bool,
    #[command(flatten)]
    pub build: BuildArgs,
}

impl SdImage {
    /// The sources of the images that the user named, each once.
    ///
    /// # Errors
    /// `Usage` for a file of one image where several are named.
    pub fn sources(&self) -> Result<Vec<ImageSource>> {
        let mut sources = Vec::new();
        for source in self.hosts.iter().map(|host| host_ref::image_source(host)) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        if self.build.file.is_some() && (self.all || sources.len() > 1) {
            bail!(
                Usage, "--file names the file of one image, and the command builds several";
                hint: "run the command once for each host"
            );
        }
        Ok(sources)
    }
}

#[derive(Debug, Default, Args)]
pub struct BuildArgs {
    /// Take this file of the build's output, if the output has several images
    #[arg(long, value_name = "NAME")]
    pub file: Option<String>,
    #[command(flatten)]
    pub how: BuildHow,
    #[command(flatten)]
    pub nix: NixArgs,
}

/// How a command builds.
#[derive(Clone, Debug, Default, Args)]
pub struct BuildHow {
    /// Print all that builders print, not only the last line of each
    #[arg(short = 'L', long)]
    pub print_build_logs: bool,
    /// Build what takes hours by emulation, such as a kernel, without a question
    #[arg(long)]
    pub allow_slow_builds: bool,
    /// Build on another machine in this run, such as `ssh-ng://me@server`, for aarch64-linux unless the system follows
    /// as in a machines file of Nix. May be given several times; replaces the remote builders of nix.conf
    #[arg(long = "builder", value_name = "STORE", value_parser = parse_builder)]
    pub builders: Vec<String>,
}

/// The line of a machines file for the builder `text`, which has at least the address.
///
/// # Errors
/// A text that is several lines, or a machines file.
fn parse_builder(text: &str) -> Result<String, String> {
    let words = text.split_whitespace().collect::<Vec<_>>();
    match words[..] {
        [] => Err("a builder has an address, such as ssh-ng://me@server".to_owned()),
        _ if is_list(text) => Err("one builder is one line; name several by several options".to_owned()),
        [address, ..] if !is_builder_address(address) => {
            Err("the address of a builder is ssh-ng://[USER@]SERVER, ssh://[USER@]SERVER or [USER@]SERVER"
                .to_owned())
        }
        // Without the feature, Nix would keep the builds that take longest from the builder.
        [address] => Ok(format!("{address} {RASPBERRY_PI_SYSTEM} - - - {BIG_BUILDS}")),
        _ => Ok(words.join(" ")),
    }
}

/// Whether Nix takes `address` for that of a store that builds: a URL of ssh or of a store here, or the name of a
/// server.
fn is_builder_address(address: &str) -> bool {
    // The zone of a link-local address follows a percent sign.
    let without_zone = address.replacen('%', "", 1);
    match without_zone.split_once("://") {
        Some(("ssh" | "ssh-ng", rest)) => {
            let (user, server) = split_destination(rest.split(['?', '/']).next().unwrap_or_default());
            // An IPv6 address is in brackets there.
            is_hostname(&server.replacen(['[', ']'], "", 2)) && user.is_none_or(is_user)
        }
        Some(("file" | "local" | "unix", path)) => path.starts_with('/'),
        Some(_) => false,
        None => without_zone.parse::<Address>().is_ok(),
    }
}

/// Whether `text` is more than one builder, or names a machines file.
fn is_list(text: &str) -> bool {
    text.contains([';', '\n', '#']) || text.trim_start().starts_with('@')
}

#[derive(Debug, Default, Args)]
pub struct NixArgs {
    /// Arguments for Nix, such as --override-input nixpkgs ../nixpkgs
    #[arg(last = true, value_name = "NIX ARGS")]
    pub nix_args: Vec<String>,
    #[command(flatten)]
    pub eval: EvalArgs,
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub struct EvalArgs {
    /// Stop an evaluation of the flake that takes longer, such as 90s, 30m or 2h; a number alone is minutes
    /// (default: 10m, and 5m for each host of `hosts --evaluate`)
    #[arg(long, value_name = "TIME", value_parser = TimeLimit::parse)]
    pub eval_timeout: Option<TimeLimit>,
}

/// The checksums of the file of `--image`.
#[derive(Clone, Debug, Default, Args)]
pub struct ChecksumArgs {
    /// With --image: refuse an image with another SHA-256, in hexadecimal digits or as sha256-BASE64
    #[arg(long, value_name = "SUM", requires = "image", value_parser = parse_sha256)]
    pub sha256: Option<Sum>,
    /// With --image: also compare with the sum of the image in this file, as `sha256sum` writes it
    #[arg(long, value_name = "FILE", requires = "image")]
    pub checksums: Option<PathBuf>,
}

impl ChecksumArgs {
    /// The checksums that the user gave.
    pub fn given_sums(&self) -> GivenSums {
        GivenSums { sha256: self.sha256.clone(), file: self.checksums.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_is_a_line_of_a_machines_file() {
        for (text, expected) in [
            ("ssh-ng://me@server", Some("ssh-ng://me@server aarch64-linux - - - big-parallel")),
            (" ssh-ng://me@server  x86_64-linux - 4", Some("ssh-ng://me@server x86_64-linux - 4")),
            ("", None),
            ("a ; b", None),
            ("@/etc/nix/machines", None),
            ("me@server", Some("me@server aarch64-linux - - - big-parallel")),
            ("ssh://me@server:22?remote-store=/x - - 2", Some("ssh://me@server:22?remote-store=/x - - 2")),
            ("ssh-ng://[fe80::1]", Some("ssh-ng://[fe80::1] aarch64-linux - - - big-parallel")),
            ("ssh://[fe80::1%eth0]:22 - - 1", Some("ssh://[fe80::1%eth0]:22 - - 1")),
            ("fe80::1", Some("fe80::1 aarch64-linux - - - big-parallel")),
            ("ssh-ng:/me@server", None),
            ("ssh-ng:me@server", None),
            ("ssh-ng//server", None),
            ("ssh-ng://", None),
            ("ssh-ng://me@", None),
            ("ssh-ng://@server", None),
            ("unix:///run/nix", Some("unix:///run/nix aarch64-linux - - - big-parallel")),
            ("file://store", None),
            ("sshng://server", None),
            ("https://server", None),
            ("-oProxyCommand=x", None),
            ("ssh://-oProxyCommand=x", None),
            ("non sense", Some("non sense")),
            ("non/sense", None),
        ] {
            assert_eq!(parse_builder(text).ok().as_deref(), expected, "{text}");
        }
    }
}
