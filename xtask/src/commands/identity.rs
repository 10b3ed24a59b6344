//! `identity`: shows or makes the ssh host key of a host.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::base::{Context, HostName, state};
use crate::cli::{Identity, IdentityCommand, IdentityOf};
use crate::failure;
use crate::identity::{self, KeyChoice, KeyFolder};
use crate::ui;

pub fn run(cx: &Context, args: &Identity) -> Result<()> {
    let (IdentityCommand::Show(of) | IdentityCommand::Make(of)) = &args.what;
    let folder = KeyFolder::new(&cx.state, &of.host, of.identity_dir.as_deref())?;
    if matches!(args.what, IdentityCommand::Make(_)) {
        // Makes git ignore it, where it is beside the flake.
        state::create_private_folder(&cx.state)?;
        identity::keep_out_of_stores(&cx.launcher, &folder, &cx.flake)?;
        folder.choose(&cx.launcher, KeyChoice::Keep)?;
    }
    let key = folder.public_key(&cx.launcher)?.ok_or_else(|| no_key_error(of, &folder))?;
    let pending = folder.pending_key(&cx.launcher)?;
    show(
        cx,
        &Shown {
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
    let elsewhere = of.identity_dir.as_ref().map(|dir| format!(" --identity-dir {}", dir.display()));
    let make = format!("cargo xtask identity make {host}{}", elsewhere.unwrap_or_default());
    failure!(Refused, "{host} has no key in {dir}"; hint: "flash the host, or run `{make}`")
}

/// The facts about an identity. Also the JSON.
#[derive(Serialize)]
struct Shown {
    host: HostName,
    /// `SHA256:…`.
    fingerprint: String,
    /// `age1…`.
    age: String,
    /// `ssh-ed25519 AAAA…`.
    public: String,
    folder: PathBuf,
    /// The `known_hosts` by which deploys verify the host, if it has the key.
    known_hosts: Option<PathBuf>,
    /// `SHA256:…` of a pending key, which an unfinished flash may have put on a card.
    // Programs that read `--json` know this name from earlier versions.
    #[serde(rename = "waiting")]
    pending: Option<String>,
}

fn show(cx: &Context, shown: &Shown) -> Result<()> {
    if cx.json {
        return ui::json(shown);
    }
    ui::result(&format!("key     {}", shown.fingerprint))?;
    ui::result(&format!("age     {}", shown.age))?;
    ui::result(&format!("public  {}", shown.public))?;
    ui::result(&format!("folder  {}", shown.folder.display()))?;
    match &shown.known_hosts {
        Some(file) => ui::result(&format!("known   {}", file.display())),
        None => ui::result("known   no: the next flash of this host adds it"),
    }?;
    shown.pending.iter().try_for_each(|pending| {
        ui::result(&format!("pending {pending}: a card may have it; `flash --identity new` uses it"))
    })
}
