//! `identity`: the ssh host key that the cards of a host get.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::base::Context;
use crate::base::failure::ExitKind;
use crate::cli::{Identity, IdentityCommand, IdentityOf};
use crate::identity::{self, KeyChoice, KeyFolder};
use crate::ui;

pub fn run(cx: &Context, args: &Identity) -> Result<()> {
    let (IdentityCommand::Show(of) | IdentityCommand::Make(of)) = &args.what;
    let folder = KeyFolder::new(&of.host, of.identity_dir.as_deref())?;
    if matches!(args.what, IdentityCommand::Make(_)) {
        identity::keep_out_of_stores(&cx.launcher, &folder, &cx.flake)?;
        folder.choose(&cx.launcher, KeyChoice::Keep)?;
    }
    let key = folder.public(&cx.launcher)?.ok_or_else(|| no_key(of, &folder))?;
    let (fingerprint, age, public) = (key.fingerprint(), key.age_recipient()?, key.line());
    let known_hosts = identity::known(&of.host)?;
    let waiting = folder.pending(&cx.launcher)?.map(|key| key.fingerprint());
    show(
        cx,
        &Shown {
            host: of.host.clone(),
            fingerprint,
            age,
            public,
            folder: folder.path().to_owned(),
            known_hosts,
            waiting,
        },
    )
}

fn no_key(of: &IdentityOf, folder: &KeyFolder) -> anyhow::Error {
    let (host, dir) = (&of.host, folder.path().display());
    let elsewhere = of.identity_dir.as_ref().map(|dir| format!(" --identity-dir {}", dir.display()));
    let make = format!("cargo xtask identity make {host}{}", elsewhere.unwrap_or_default());
    ExitKind::Refused
        .error(format!("{host} has no key in {dir}; its first flash makes one, and so does `{make}`"))
}

/// What there is to know of an identity. Also its JSON.
#[derive(Serialize)]
struct Shown {
    host: String,
    /// `SHA256:…`.
    fingerprint: String,
    /// `age1…`.
    age: String,
    /// `ssh-ed25519 AAAA…`.
    public: String,
    folder: PathBuf,
    /// The file by which deploys know the host, if it has it.
    known_hosts: Option<PathBuf>,
    /// `SHA256:…` of a newer key, which a flash that did not end may have put on a card.
    waiting: Option<String>,
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
        None => ui::result("known   not yet: the next flash of this host makes it so"),
    }?;
    shown.waiting.iter().try_for_each(|waiting| {
        ui::result(&format!(
            "newer   {waiting} waits: a card may have it; flash with --identity new takes it"
        ))
    })
}
