//! `identity`: shows or makes the ssh host key of a host.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::base::{Context, HostName, shell, state};
use crate::cli::{Identity, IdentityCommand, IdentityOf};
use crate::failure;
use crate::identity::{self, KeyChoice, KeyFolder};
use crate::ui;

pub fn run(cx: &Context, args: &Identity) -> Result<()> {
    let (IdentityCommand::Show(of) | IdentityCommand::Make(of)) = &args.command;
    let folder = KeyFolder::new(&cx.state, &of.host, of.identity_dir.as_deref())?;
    if matches!(args.command, IdentityCommand::Make(_)) {
        // Git then ignores the state folder, which may be beside the flake.
        state::create_private_folder(&cx.state)?;
        identity::keep_out_of_stores(&cx.launcher, &folder, &cx.flake)?;
        folder.choose(&cx.launcher, KeyChoice::Keep)?;
    }
    let key = folder.public_key(&cx.launcher)?.ok_or_else(|| no_key_error(of, &folder))?;
    let pending = folder.pending_key(&cx.launcher)?;
    show(
        cx,
        &IdentityFacts {
            host: of.host.clone(),
            fingerprint: key.fingerprint(),
            age: key.age_recipient()?,
            public: key.line(),
            folder: folder.path().to_owned(),
            known_hosts: identity::known_hosts_with(&cx.state, &of.host)?,
            pending: pending.map(|key| key.fingerprint()),
        },
    )
}

fn no_key_error(of: &IdentityOf, folder: &KeyFolder) -> anyhow::Error {
    let host = &of.host;
    let dir = folder.path().display();
    let option = of.identity_dir.as_ref().map(|dir| {
        let dir = shell::quote(&dir.display().to_string());
        format!(" --identity-dir {dir}")
    });
    let command = format!("cargo xtask identity make {host:#}{}", option.unwrap_or_default());
    failure!(Refused, "{host} has no key in {dir}"; hint: "flash the host, or run `{command}`")
}

/// The facts about an identity. Also the JSON.
#[derive(Serialize)]
struct IdentityFacts {
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
    /// `SHA256:…` of a pending key, which an unfinished flash may have put on a card.
    // Programs that read `--json` know this name from earlier versions.
    #[serde(rename = "waiting")]
    pending: Option<String>,
}

fn show(cx: &Context, facts: &IdentityFacts) -> Result<()> {
    if cx.json {
        return ui::print_json(facts);
    }
    ui::print_result(&format!("key     {}", facts.fingerprint))?;
    ui::print_result(&format!("age     {}", facts.age))?;
    ui::print_result(&format!("public  {}", facts.public))?;
    ui::print_result(&format!("folder  {}", facts.folder.display()))?;
    match &facts.known_hosts {
        Some(file) => ui::print_result(&format!("known   {}", file.display()))?,
        None => ui::print_result("known   no: the next flash of this host adds it")?,
    }
    if let Some(key) = &facts.pending {
        ui::print_result(&format!("pending {key}: a card may have it; `flash --identity new` uses it"))?;
    }
    Ok(())
}
