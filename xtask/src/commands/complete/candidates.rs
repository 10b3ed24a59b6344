//! The values that complete arguments: hosts, identities and cards.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap_complete::CompletionCandidate;

use super::line::Line;
use super::{FILES, marker};
use crate::base::process::Launcher;
use crate::base::run_log::RunLog;
use crate::base::{Always, Bytes, Context, HostName, Silent, project, state};
use crate::card::disk::{self, DiskKind, Roots};
use crate::cli::Candidates;
use crate::commands::flake_hosts;
use crate::identity::Identities;
use crate::nix;
use crate::receipt;

/// Where the values come from.
#[derive(Debug)]
pub struct Source {
    /// The flake that the command line names.
    flake: Option<String>,
    /// Whether the command line allows loop devices as cards.
    allows_virtual: bool,
    /// The first argument of the command.
    host: Option<HostName>,
}

impl Source {
    /// The source for the command line `line`.
    pub fn of(line: &Line) -> Self {
        let flake = line.value_of("--flake").map(with_home);
        let is_word = |word: &&String| !word.starts_with('-');
        let host = line.words[1..].iter().filter(is_word).nth(1).map(|word| HostName::from(word.as_str()));
        Self { flake, allows_virtual: line.has("--allow-virtual"), host }
    }

    /// The values that complete `word`; none where they cannot be read.
    pub fn list(&self, kind: Candidates, word: &OsStr) -> Vec<CompletionCandidate> {
        let word = word.to_string_lossy();
        let found = match kind {
            Candidates::HostsAndCards if !word.contains('/') => names(self.hosts()),
            Candidates::Cards | Candidates::HostsAndCards => self.cards(),
            Candidates::Hosts => names(self.hosts()),
            Candidates::RecordedHosts => names(self.context().and_then(|cx| recorded_hosts(&cx))),
            Candidates::Receipts => self.receipts().unwrap_or_default(),
            Candidates::Identities => names(self.context().and_then(|cx| identities(&cx))),
        };
        let begins = |found: &CompletionCandidate| found.get_value().to_string_lossy().starts_with(&*word);
        let mut found = found.into_iter().filter(begins).collect::<Vec<_>>();
        let takes_path = matches!(kind, Candidates::Cards) || word.contains('/');
        if takes_path && kind != Candidates::Hosts {
            found.push(marker(FILES));
        }
        found
    }

    /// The hosts of the flake, by an evaluation; where there is none, the hosts that the project knows otherwise.
    fn hosts(&self) -> Result<BTreeSet<HostName>> {
        let mut cx = self.context()?;
        // Nix would fetch a flake that is not on this machine.
        let is_local = cx.flake.folder().is_some() && cx.launcher.which("nix").is_some();
        if let Some(hosts) = is_local.then(|| flake_hosts::names_at_once(&mut cx)).and_then(Result::ok) {
            return Ok(hosts.into_iter().collect());
        }
        let known = [recorded_hosts(&cx), identities(&cx)];
        Ok(known.into_iter().flatten().flatten().collect())
    }

    /// The systems of the host, each by the number of its receipt.
    fn receipts(&self) -> Result<Vec<CompletionCandidate>> {
        let Some(host) = &self.host else { return Ok(Vec::new()) };
        let cx = self.context()?;
        let systems = receipt::recorded_systems(&cx, &cx.flake, host)?;
        let candidate = |system: receipt::RecordedSystem| {
            let revision = system.revision.map(|revision| format!(" at {}", revision.short()));
            let help = format!("{} {}{}", system.verb, system.when, revision.unwrap_or_default());
            Some(CompletionCandidate::new(system.number?.to_string()).help(Some(help.into())))
        };
        Ok(systems.into_iter().filter_map(candidate).collect())
    }

    /// The context of the command line. It is silent, and its children ask for no passwords.
    fn context(&self) -> Result<Context> {
        let named = project::named_flake(self.flake.as_deref())?;
        let flake = named.map_or_else(project::flake_here, Ok)?;
        flake.check()?;
        let tools = project::tools_dir();
        let launcher = Launcher::new(std::env::current_dir()?)
            .with_env("GIT_TERMINAL_PROMPT", "0")
            .with_env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
            .with_env("SSH_ASKPASS_REQUIRE", "never");
        let is_safe = state::check_folder(&tools).is_ok();
        Ok(Context {
            state: project::state_dir(&flake),
            flake,
            trust_flake: false,
            json: false,
            launcher: if is_safe { nix::private_nix::activate(launcher, &tools) } else { launcher },
            reporter: Arc::new(Silent),
            approver: Arc::new(Always(None)),
            // No log is kept of a key press.
            log: Arc::new(RunLog::begin("")),
        })
    }

    /// The cards that `devices` lists, each with its size and its model.
    fn cards(&self) -> Vec<CompletionCandidate> {
        let is_card = |kind: &DiskKind| {
            matches!(kind, DiskKind::SdCard | DiskKind::Usb) || self.allows_virtual && kind.is_virtual()
        };
        let disks = disk::list(&Roots::default()).unwrap_or_default().into_iter();
        let cards = disks.filter(|disk| is_card(&disk.kind));
        let candidate = |disk: disk::Disk| {
            let help = format!("{}, {}", Bytes(disk.size), disk.title());
            CompletionCandidate::new(disk.path.as_os_str()).help(Some(help.into()))
        };
        cards.map(candidate).collect()
    }
}

/// The hosts with receipts.
fn recorded_hosts(cx: &Context) -> Result<BTreeSet<HostName>> {
    let receipts = receipt::read_all(cx)?;
    Ok(receipts.iter().filter_map(|receipt| receipt.host()).map(HostName::from).collect())
}

/// The hosts whose keys the project has or knows.
fn identities(cx: &Context) -> Result<BTreeSet<HostName>> {
    Ok(Identities::new(&cx.state, &cx.flake, None)?.hosts()?.into_iter().collect())
}

fn names(hosts: Result<BTreeSet<HostName>>) -> Vec<CompletionCandidate> {
    hosts.unwrap_or_default().iter().map(|host| CompletionCandidate::new(host.as_str())).collect()
}

/// `path` with the home folder in the place of `~`, which the shell has not replaced yet.
fn with_home(path: &str) -> String {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            home.join(Path::new(rest.trim_start_matches('/'))).to_string_lossy().into_owned()
        }
        _ => path.to_owned(),
    }
}
