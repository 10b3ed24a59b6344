//! `identity trust`: accepts the key of a host that made its own, and pins it for deploys.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::ask;
use crate::base::{Context, HostName, JsonResult, NextStep};
use crate::cli::identity::{IdentityTrust, KeysArg};
use crate::deploy::{self, OfferedKey};
use crate::identity::{Adoption, Identities, KnownKey, StoredIdentity, adopt};
use crate::ui::{self, Answer, MAX_ANSWERS, Prompt, is_no};
use crate::{bail, failure, nix};

pub fn run(cx: &Context, args: &IdentityTrust) -> Result<()> {
    let identities = super::identities(cx, &KeysArg::default())?;
    // The name must be one that a host with a key can have.
    identities.key_folder(&args.host)?;
    let key = if args.published { published_key(&identities, &args.host)? } else { offered_key(cx, args)? };
    let adoption = plan(cx, &identities, &args.host, &key)?;
    warn_of_private_key(cx, &identities, &args.host, &key);
    if args.published && !adoption.losses.is_empty() {
        let notice = format!(
            "the published key {} replaces what this project has of {}:{}",
            key.fingerprint(),
            args.host,
            lines(&adoption)
        );
        ask::confirm_host(&args.host, &notice, args.yes)?;
    }
    if !args.published {
        confirm_key(args, &key, &adoption)?;
    }
    if !adoption.is_done {
        adopt(&identities, &cx.launcher, &[adoption])?;
    }
    ui::end_with(NextStep::run(
        format!("cargo xtask deploy {:#}", args.host),
        "deploys to the host that has this key",
    ));
    if cx.json {
        return ui::print_json(&IdentityTrustResult {
            host: args.host.clone(),
            fingerprint: key.fingerprint(),
            known_hosts: identities.known_hosts.path,
        });
    }
    ui::print_result(&format!("deploys accept the key {} of {}, and no other", key.fingerprint(), args.host))
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct IdentityTrustResult {
    host: HostName,
    /// `SHA256:…` of the key that deploys accept from now on.
    fingerprint: String,
    /// The file that has the key.
    known_hosts: PathBuf,
}

impl JsonResult for IdentityTrustResult {}

/// The key that the host offers now.
fn offered_key(cx: &Context, args: &IdentityTrust) -> Result<KnownKey> {
    nix::require(&cx.launcher)?;
    // A question changes nothing, also not the lock of the flake.
    let nix_args = nix::with_keep_lock(&args.nix.nix_args);
    let OfferedKey { key, destination } =
        deploy::read_offered_key(cx, &args.host, args.to.as_ref(), &nix_args)?;
    cx.note(format!("{destination} has the key {}", key.fingerprint()));
    Ok(key)
}

/// The key of `host` in the published `known_hosts`.
fn published_key(identities: &Identities, host: &HostName) -> Result<KnownKey> {
    let published = identities.published_key(host)?;
    published.and_then(|(key, _)| KnownKey::parse(&key)).ok_or_else(|| {
        failure!(
            Refused, "no `known_hosts` beside flake.nix has a key of {host}";
            hint: "leave out --published to ask the host itself"
        )
    })
}

/// What the project knows of the host once it trusts the `key`. A private key here stays.
fn plan(cx: &Context, identities: &Identities, host: &HostName, key: &KnownKey) -> Result<Adoption> {
    let new = StoredIdentity { host: host.clone(), key: None, pending: None, known: Some(key.line()) };
    Adoption::plan(identities, &cx.launcher, new)
}

fn warn_of_private_key(cx: &Context, identities: &Identities, host: &HostName, key: &KnownKey) {
    let Ok(stored) = identities.read(&cx.launcher, host) else { return };
    if let Some(own) = stored.fingerprint().filter(|own| *own != key.fingerprint()) {
        cx.warn(format!(
            "this project has another private key of {host}, {own}: the next flash puts that one on the card; remove it \
             by `cargo xtask identity remove {host:#}` before you trust, or import the key of the host"
        ));
    }
}

/// Compares the key with the fingerprint that the user passes, or types.
///
/// # Errors
/// `HostKey` for another fingerprint, and `Refused` for a user who does not confirm, or cannot be asked.
fn confirm_key(args: &IdentityTrust, key: &KnownKey, adoption: &Adoption) -> Result<()> {
    if let Some(fingerprint) = &args.fingerprint {
        return key.check_fingerprint(fingerprint);
    }
    if adoption.is_done {
        return Ok(());
    }
    if !ui::can_ask() {
        bail!(
            Refused, "the key {} of {} is not compared with the host", key.fingerprint(), args.host;
            hint: "pass the fingerprint that `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the host, as \
                   --fingerprint SHA256:…"
        );
    }
    let compare =
        "compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the host";
    let notice = match &adoption.losses[..] {
        [] => compare.to_owned(),
        _ => format!("it replaces what this project has of {}:{}\n{compare}", args.host, lines(adoption)),
    };
    let prompt = Prompt {
        notice: &notice,
        question: "Type yes, or paste that fingerprint:",
        unanswered: "stopped; nothing was changed",
    };
    let typed = prompt.ask_until(MAX_ANSWERS, |answer| match answer {
        "yes" => Answer::Accepted(None),
        typed if typed.starts_with("SHA256:") => Answer::Accepted(Some(typed.to_owned())),
        _ if is_no(answer) => Answer::Declined,
        _ => Answer::Again(format!("{answer:?} is neither yes nor a fingerprint, SHA256:…")),
    })?;
    match typed {
        Some(None) => Ok(()),
        Some(Some(fingerprint)) => key.check_fingerprint(&fingerprint),
        None => bail!(Refused, "not confirmed; nothing was changed"),
    }
}

/// What is replaced, each on a line of its own.
fn lines(adoption: &Adoption) -> String {
    adoption.losses.iter().map(|loss| format!("\n  {loss}")).collect()
}
