//! `identity publish`: writes public keys to `known_hosts` beside flake.nix, which the team commits.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::ask;
use crate::base::{Context, HostName, JsonResult, git};
use crate::cli::identity::{IdentityPublish, KeysArg};
use crate::commands::{flake_hosts, next_step};
use crate::identity::{Identities, NewKeys, PublishedHosts, fingerprint_of};
use crate::{bail, failure, ui};

pub fn run(cx: &Context, args: &IdentityPublish) -> Result<()> {
    let identities = super::identities(cx, &KeysArg::default())?;
    let Some(file) = &identities.published else {
        bail!(
            Refused, "{} is not in a folder of this machine", cx.flake;
            hint: "run the command in a checkout of the flake, or pass it as --flake FOLDER"
        );
    };
    let hosts = if args.hosts.is_empty() { publishable(&identities)? } else { args.hosts.clone() };
    let changes = Changes::plan(cx, &identities, file, hosts)?;
    if !changes.replaced.is_empty() {
        let notice = format!("{} has other keys:{}", file.path().display(), changes.replaced.concat());
        if !ask::confirm(&notice, "Replace them?", args.yes.yes)? {
            bail!(Refused, "not confirmed; nothing was changed");
        }
    }
    let is_changed = !changes.keys.is_empty();
    if is_changed {
        let mut change = identities.begin_change()?;
        change.set_published(changes.keys.clone());
        change.commit()?;
    }
    show(cx, file, &changes)?;
    if is_changed && file.path().parent().is_some_and(|folder| !git::repository_dirs(folder).is_empty()) {
        next_step::commit(file.path());
    }
    Ok(())
}

/// All hosts with a key in the project's `known_hosts`.
fn publishable(identities: &Identities) -> Result<Vec<HostName>> {
    let hosts = identities.known_hosts.hosts()?.into_iter().collect::<Vec<_>>();
    if hosts.is_empty() {
        bail!(
            Refused, "{} has no key of a host", identities.known_hosts.path.display();
            hint: "flash a host, or name one whose key was made: `cargo xtask identity publish HOST`"
        );
    }
    Ok(hosts)
}

/// The lines to write.
struct Changes {
    keys: NewKeys,
    /// All hosts with their fingerprints, also those that are published already.
    hosts: Vec<(HostName, String)>,
    /// The keys that are replaced, each on a line of its own.
    replaced: Vec<String>,
}

impl Changes {
    fn plan(
        cx: &Context,
        identities: &Identities,
        file: &PublishedHosts,
        hosts: Vec<HostName>,
    ) -> Result<Self> {
        let mut changes = Self { keys: NewKeys::new(), hosts: Vec::new(), replaced: Vec::new() };
        for host in hosts {
            let key = public_key(cx, identities, &host)?;
            let fingerprint = fingerprint_of(&key);
            let published = file.keys_of(&host)?;
            if published != [key.as_str()] {
                let others = published.iter().filter(|published| **published != key);
                changes.replaced.extend(
                    others
                        .map(|old| format!("\n  {host} {}, replaced by {fingerprint}", fingerprint_of(old))),
                );
                changes.keys.insert(host.clone(), vec![key]);
            }
            changes.hosts.push((host, fingerprint));
        }
        Ok(changes)
    }
}

/// The key of `host` in the project's `known_hosts`, or else that which was made for it.
fn public_key(cx: &Context, identities: &Identities, host: &HostName) -> Result<String> {
    if let Some(known) = identities.known_hosts.keys_of(host)?.into_iter().next() {
        return Ok(known);
    }
    let key = identities.key_folder(host)?.public_key(&cx.launcher)?;
    key.map(|key| key.line()).ok_or_else(|| {
        let refusal = failure!(
            Refused, "no key of {host} is known";
            hint: "run `cargo xtask identity make {host:#}`, or `cargo xtask identity trust {host:#}` for a host that made its own"
        );
        flake_hosts::or_unknown(cx, host, refusal)
    })
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct IdentityPublishResult {
    /// The `known_hosts` beside `flake.nix`.
    file: PathBuf,
    hosts: Vec<PublishedHost>,
}

/// A host in the published file.
#[derive(Serialize, JsonSchema)]
struct PublishedHost {
    host: HostName,
    /// `SHA256:…`.
    fingerprint: String,
    /// Whether this run has written its line.
    changed: bool,
}

impl JsonResult for IdentityPublishResult {}

fn show(cx: &Context, file: &PublishedHosts, changes: &Changes) -> Result<()> {
    let path = file.path().display();
    if cx.json {
        let hosts = changes.hosts.iter().map(|(host, fingerprint)| PublishedHost {
            host: host.clone(),
            fingerprint: fingerprint.clone(),
            changed: changes.keys.contains_key(host),
        });
        let file = file.path().to_owned();
        return ui::print_json(&IdentityPublishResult { file, hosts: hosts.collect() });
    }
    for (host, fingerprint) in &changes.hosts {
        let verb = if changes.keys.contains_key(host) { "published" } else { "was published" };
        ui::print_result(&format!("{verb} {host} {fingerprint}"))?;
    }
    if !changes.keys.is_empty() {
        cx.note(format!("commit {path}: deploys from every checkout then accept these keys alone"));
    }
    Ok(())
}
