//! The command line of the commands for hosts: `deploy` and `status`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use clap::{ArgGroup, Args, ValueHint};

use super::host_ref;
use super::whole_number::whole_number;
use super::{BuildHow, Candidates, EvalArgs, NixArgs, ReleaseArgs};
use crate::bail;
use crate::base::{Address, CacheUrl, HostName, Reach};

/// The longest wait for a host, in minutes: a week.
pub(super) const MAX_WAIT_MINUTES: u64 = 7 * 24 * 60;

/// The longest time for which `status` keeps connections, in seconds: a day.
pub const MAX_KEPT_SECONDS: u32 = 24 * 60 * 60;
/// The most hosts of a deploy that may fail.
const MAX_HOSTS: usize = 1_000_000;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
#[command(group = ArgGroup::new("which").args(["hosts", "all", "on", "release"]).required(true).multiple(true))]
pub struct Deploy {
    /// The hosts, as `cargo xtask hosts` lists them: nodes of deploy-rs, `deploy.nodes.<HOST>`, or NixOS configurations
    /// whose address is known
    #[arg(value_name = "HOST", value_parser = parse_host, add = Candidates::Hosts, conflicts_with = "all")]
    pub hosts: Vec<HostName>,
    /// Deploy all nodes of the flake, or all hosts of the release, in parallel
    #[arg(long, conflicts_with = "to")]
    pub all: bool,
    /// Deploy the hosts with this tag alone, also with --all: from `deploy.nodes.HOST.tags` or `xtask.tags.HOST` of the
    /// flake, of all nodes, or of the release. May be given several times
    #[arg(long, value_name = "TAG", conflicts_with = "hosts", value_parser = parse_tag)]
    pub on: Vec<String>,
    /// Deploy in waves, such as 1,10%,100%: each number is how many hosts are done when its wave ends. Hosts with the
    /// tag `canary` come first
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "to")]
    pub waves: Vec<Reach>,
    /// Begin no other host once more than so many have failed (default with --waves: 0)
    #[arg(long, value_name = "NUMBER", conflicts_with = "to", value_parser = whole_number(0..=MAX_HOSTS))]
    pub max_failures: Option<usize>,
    /// Show what would be built and fetched, and how long that takes, without building and without asking the host
    #[arg(long, conflicts_with_all = ["dry_run", "boot", "reboot", "health", "wait", "keep_firmware", "bless", "abort_trial", "release"])]
    pub plan: bool,
    #[command(flatten)]
    pub from: ReleaseArgs,
    #[command(flatten)]
    pub how: DeployArgs,
    /// Keep the system that is on trial: make it the boot default. Nothing is deployed
    #[arg(long, conflicts_with_all = ["all", "on", "release", "dry_run", "boot", "reboot", "health", "wait", "keep_firmware", "abort_trial"])]
    pub bless: bool,
    /// Cancel the trial of the pending system: the next boot starts the boot default. Nothing is deployed
    #[arg(long, conflicts_with_all = ["all", "on", "release", "dry_run", "boot", "reboot", "health", "wait", "keep_firmware"])]
    pub abort_trial: bool,
}

/// How hosts are deployed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct DeployArgs {
    /// Deploy to this address, whatever the flake says. A host with a NixOS configuration then needs no node: the tool
    /// makes one
    #[arg(long, value_name = "[USER@]ADDRESS")]
    pub to: Option<Address>,
    /// Build the system and show the changes, without changing the host. With --boot or --reboot, also show whether the
    /// host would boot the system
    #[arg(long, conflicts_with = "health")]
    pub dry_run: bool,
    /// Make the new system the boot default without activating it now
    #[arg(long)]
    pub boot: bool,
    /// Reboot the host afterwards, and verify that it booted the new system; a host that has booted and runs that
    /// system already is not rebooted
    #[arg(long)]
    pub reboot: bool,
    /// Wait up to this many minutes for a host that does not answer yet, as after a flash, and after a reboot
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, require_equals = true, default_missing_value = "10",
          value_parser = whole_number(1..=MAX_WAIT_MINUTES))]
    pub wait: Option<u64>,
    /// Run this command on the host as a health check: it must succeed after the deploy. May be given several times. Of
    /// a list `a; b` only the last command counts; write `a && b` for all of them. With --boot, it needs --reboot:
    /// until then the host runs the old system
    #[arg(long, value_name = "COMMAND", value_parser = parse_health_check)]
    pub health: Vec<String>,
    /// Deploy although FIRMWARE of the host differs from that of the new system, or lacks what a trial needs: the host
    /// boots the new system with its present FIRMWARE
    #[arg(long)]
    pub keep_firmware: bool,
    #[command(flatten)]
    pub cache: CacheArgs,
    #[command(flatten)]
    pub trust: Trust,
    #[command(flatten)]
    pub builds: BuildHow,
    #[command(flatten)]
    pub eval: EvalArgs,
    /// Arguments for deploy-rs, such as --hostname 192.168.1.7
    #[arg(last = true, value_name = "DEPLOY ARGS")]
    pub deploy_args: Vec<String>,
}

/// How systems are signed, and by way of which cache they come to the hosts.
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// Push what is built to this binary cache once, and let the hosts fetch it from there: what `nix copy --to` takes,
    /// such as `file:///srv/cache`, `s3://bucket` or `ssh-ng://nas`. The hosts check the signature. What the cache does
    /// not give is copied directly
    #[arg(long, value_name = "URL")]
    pub via_cache: Option<CacheUrl>,
    /// Push to the cache by this URL, where the hosts reach it by another one
    #[arg(long, value_name = "URL", requires = "via_cache")]
    pub push_to: Option<CacheUrl>,
    /// Sign what is deployed by the private key of Nix in this file (default: `XTASK_CACHE_KEY`, or the key that
    /// `identity cache-key` made)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cache_key: Option<PathBuf>,
}

/// A tag, with or without the `@` of colmena.
pub(super) fn parse_tag(text: &str) -> Result<String, String> {
    match text.strip_prefix('@').unwrap_or(text) {
        "" => Err("a tag has at least one character".to_owned()),
        tag => Ok(tag.to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct Status {
    /// The hosts, as `cargo xtask hosts` lists them (default: all hosts with a deploy node)
    #[arg(value_name = "HOST", value_parser = parse_host, add = Candidates::Hosts)]
    pub hosts: Vec<HostName>,
    /// Ask the host at this address, whatever the flake says. A host with a NixOS configuration then needs no node
    #[arg(long, value_name = "[USER@]ADDRESS", requires = "hosts")]
    pub to: Option<Address>,
    /// Keep the connection to each host open until so many seconds after its last use, and ask over those that an
    /// earlier `status` kept, each with its own time (default: `XTASK_KEEP_CONNECTIONS`). 0 ends all connections that
    /// are kept
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "600",
          value_parser = whole_number(0..=MAX_KEPT_SECONDS))]
    pub keep_connections: Option<u32>,
    #[command(flatten)]
    pub from: ReleaseArgs,
    #[command(flatten)]
    pub trust: Trust,
    #[command(flatten)]
    pub nix: NixArgs,
}

#[derive(Debug, Args)]
pub struct Trust {
    /// Accept all ssh options of the flake, also options that run programs on this machine; without it, a flake that is
    /// not your own checkout on this machine sets only options that run nothing
    #[arg(long)]
    pub trust_flake: bool,
}

impl DeployArgs {
    /// The arguments for Nix, which follow a second `--`.
    pub fn nix_args(&self) -> &[String] {
        let separator = self.deploy_args.iter().position(|word| word == "--");
        &self.deploy_args[separator.map_or(self.deploy_args.len(), |at| at + 1)..]
    }

    /// Adds `words` to the arguments for Nix.
    pub fn add_nix_args(&mut self, words: impl IntoIterator<Item = String>) {
        if !self.deploy_args.iter().any(|word| word == "--") {
            self.deploy_args.push("--".to_owned());
        }
        self.deploy_args.extend(words);
    }

    /// Refuses health checks that would run before the new system does.
    ///
    /// # Errors
    /// `Usage` for `--health` with `--boot` and without `--reboot`.
    pub fn check_health(&self) -> Result<()> {
        if self.health.is_empty() || !self.boot || self.reboot {
            return Ok(());
        }
        bail!(
            Usage, "--health with --boot would check the old system: the new one runs from the next boot on";
            hint: "add --reboot to check the new system, or leave out --health"
        )
    }
}

impl Deploy {
    /// The one host of `--bless` and `--abort-trial`.
    ///
    /// # Errors
    /// Those of [`Self::hosts`], and `Usage` for several hosts.
    pub fn only_host(&self) -> Result<HostName> {
        let hosts = self.hosts()?.into_iter().collect::<BTreeSet<_>>();
        match hosts.first() {
            Some(host) if hosts.len() == 1 => Ok(host.clone()),
            _ => bail!(
                Usage, "--bless and --abort-trial are for one host, and {} hosts are named", hosts.len();
                hint: "run the command once for each host"
            ),
        }
    }

    /// The named hosts, each by its name alone: `HOST` also for `#HOST` and `#deploy.nodes.HOST`.
    ///
    /// # Errors
    /// `Usage` for an attribute that is no host, and for several hosts with `--to`.
    pub fn hosts(&self) -> Result<Vec<HostName>> {
        named_hosts(&self.hosts, self.how.to.as_ref())
    }

    /// Refuses one address for all of several hosts of a release.
    ///
    /// # Errors
    /// `Usage`.
    pub fn check_address(&self, count: usize) -> Result<()> {
        check_address(self.how.to.as_ref(), count)
    }
}

impl Status {
    /// The named hosts, each by its name alone: `HOST` also for `#HOST` and `#deploy.nodes.HOST`.
    ///
    /// # Errors
    /// Those of [`Deploy::hosts`].
    pub fn hosts(&self) -> Result<Vec<HostName>> {
        named_hosts(&self.hosts, self.to.as_ref())
    }
}

/// The hosts that `words` name, each by its name alone. An `address` is that of one host.
///
/// # Errors
/// Those of [`Deploy::hosts`].
fn named_hosts(words: &[HostName], address: Option<&Address>) -> Result<Vec<HostName>> {
    let hosts = host_ref::hosts(words)?;
    check_address(address, hosts.iter().collect::<BTreeSet<_>>().len())?;
    Ok(hosts)
}

/// Refuses an `address` of several hosts.
fn check_address(address: Option<&Address>, count: usize) -> Result<()> {
    if address.is_none() || count < 2 {
        return Ok(());
    }
    bail!(
        Usage, "--to is the address of one host, and {count} hosts are named";
        hint: "run the command once for each host"
    );
}

/// Parses the name of a host. An empty name, such as that of an unset variable in a script, is an error.
pub fn parse_host(text: &str) -> Result<HostName, &'static str> {
    if text.trim().is_empty() { Err("must be the name of a host") } else { Ok(text.into()) }
}

/// Parses a health check. An empty command, which the shell of the host would run with success, is an error.
fn parse_health_check(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("must be a command for the host") } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::base::failure::{ExitKind, hint, kind};
    use crate::cli::{Cli, Command};

    /// The arguments of `deploy pi` with `options`.
    fn parse(options: &[&str]) -> Deploy {
        let cli = Cli::try_parse_from([&["xtask", "deploy", "pi"], options].concat()).unwrap();
        let Some(Command::Deploy(args)) = cli.command else { panic!("{options:?}") };
        args
    }

    #[test]
    fn health_checks_of_the_next_boot_need_a_reboot() {
        for options in [&["--health", "true"][..], &["--boot"], &["--boot", "--reboot", "--health", "true"]] {
            parse(options).how.check_health().unwrap();
        }
        let error = parse(&["--boot", "--health", "true"]).how.check_health().unwrap_err();
        assert_eq!(kind(&error), ExitKind::Usage);
        assert!(hint(&error).unwrap().starts_with("add --reboot"), "{error:#}");
    }
}
