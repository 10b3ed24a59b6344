//! `identity show`: shows the ssh host key of a host.

use std::path::{Path, PathBuf};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, HostName, JsonResult};
use crate::cli::identity::IdentityOf;
use crate::commands::flake_hosts;
use crate::failure;
use crate::identity::{KeyFolder, fingerprint_of};
use crate::ui;

pub fn run(cx: &Context, of: &IdentityOf) -> Result<()> {
    let identities = super::identities(cx, &of.keys)?;
    let folder = identities.key_folder(&of.host)?;
    let known_keys = identities.known_keys(&of.host)?;
    let key = folder.public_key(&cx.launcher)?.ok_or_else(|| no_key_error(cx, of, &folder, &known_keys))?;
    let pending = folder.pending_key(&cx.launcher)?;
    let (known, others): (Vec<_>, Vec<_>) =
        known_keys.into_iter().partition(|(known, _)| *known == key.line());
    for (other, file) in others.iter().filter(|(_, file)| known.iter().all(|(_, known)| known != file)) {
        let other = fingerprint_of(other);
        cx.warn(format!(
            "{} has another key of {}, {other}: deploys accept that one",
            file.display(),
            of.host
        ));
    }
    let has_key = |file: &Path| known.iter().any(|(_, known)| *known == file).then(|| file.to_owned());
    show(
        cx,
        &IdentityFacts {
            host: of.host.clone(),
            fingerprint: key.fingerprint(),
            age: key.age_recipient()?,
            public: key.line(),
            folder: folder.path().to_owned(),
            known_hosts: has_key(&identities.known_hosts.path),
            published: identities.published.as_ref().and_then(|file| has_key(file.path())),
            pending: pending.map(|key| key.fingerprint()),
        },
    )
}

/// The error for a host without a key in `folder`; `Usage` where the flake has no such host.
fn no_key_error(
    cx: &Context,
    of: &IdentityOf,
    folder: &KeyFolder,
    known: &[(String, &Path)],
) -> anyhow::Error {
    let host = &of.host;
    let dir = folder.path().display();
    let refusal = failure!(
        Refused, "{host} has no key in {dir}{}", trusted_key(known);
        hint: "flash the host, or run `cargo xtask identity make {host:#}`"
    );
    flake_hosts::or_unknown(cx, host, refusal)
}

/// A clause about the first of the `known` keys of a host without a private key here.
fn trusted_key(known: &[(String, &Path)]) -> String {
    known.first().map_or_else(String::new, |(key, file)| {
        format!(": it keeps its key itself; deploys accept {}, from {}", fingerprint_of(key), file.display())
    })
}

/// The facts about an identity. Also the JSON result of the commands that show it.
#[derive(Serialize, JsonSchema)]
pub struct IdentityFacts {
    host: HostName,
    /// `SHA256:…`.
    fingerprint: String,
    /// `age1…`.
    age: String,
    /// `ssh-ed25519 AAAA…`.
    public: String,
    folder: PathBuf,
    /// The `known_hosts` by which deploys verify the host; `None` if the key is not in that file.
    known_hosts: Option<PathBuf>,
    /// The published `known_hosts`, if it has a key of the host.
    published: Option<PathBuf>,
    /// `SHA256:…` of a pending key, which an unfinished flash may have put on a card.
    pending: Option<String>,
}

impl JsonResult for IdentityFacts {}

fn show(cx: &Context, facts: &IdentityFacts) -> Result<()> {
    if cx.json {
        return ui::print_json(facts);
    }
    ui::print_result(&format!("key     {}", facts.fingerprint))?;
    ui::print_result(&format!("age     {}", facts.age))?;
    ui::print_verbatim(&format!("public  {}", facts.public))?;
    ui::print_result(&format!("folder  {}", facts.folder.display()))?;
    match facts.known_hosts.as_ref().or(facts.published.as_ref()) {
        Some(file) => ui::print_result(&format!("known   {}", file.display()))?,
        None => ui::print_result("known   no: the next flash of this host adds it")?,
    }
    if let Some(key) = &facts.pending {
        ui::print_result(&format!("pending {key}: a card may have it; `flash --identity new` uses it"))?;
    }
    Ok(())
}
