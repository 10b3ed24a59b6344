//! `identity restore`: restores the keys of a backup.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::ask;
use crate::base::{Context, HostName, JsonResult, state};
use crate::cli::identity::IdentityRestore;
use crate::commands::next_step;
use crate::identity::backup::{self, AgeKeys, Opening};
use crate::identity::{self, Adoption, Identities, StoredIdentity};
use crate::{bail, failure, ui};

pub fn run(cx: &Context, args: &IdentityRestore) -> Result<()> {
    let stored = wanted(open(cx, args)?, &args.hosts)?;
    if args.list {
        next_step::without("--list");
        return show_list(cx, &stored);
    }
    let identities = super::identities(cx, &args.keys)?;
    state::create_private_folder(&cx.state)?;
    let mut plan = Vec::new();
    for stored in stored {
        let folder = identities.key_folder(&stored.host)?;
        identity::keep_out_of_stores(&cx.launcher, folder.path(), &cx.flake)?;
        plan.push(Adoption::plan(&identities, &cx.launcher, stored)?);
    }
    let plan = confirm_losses(plan, args.yes)?;
    identity::adopt(&identities, &cx.launcher, &plan)?;
    if !plan.is_empty() {
        next_step::after_restored_keys(args.keys.dir().is_some());
    }
    show(cx, &identities, &plan)
}

/// Decrypts and checks the backup.
fn open(cx: &Context, args: &IdentityRestore) -> Result<Vec<StoredIdentity>> {
    let sealed = backup::read_file(&args.file)?;
    let is_for_passphrase = backup::is_for_passphrase(&sealed)?;
    check_options(args, is_for_passphrase)?;
    let decrypt = |opening: &Opening| cx.in_phase("decrypt", || backup::open(&sealed, opening));
    let plain = if is_for_passphrase {
        let opened = ask::unlock(&args.passphrase, "the backup", |passphrase| {
            decrypt(&Opening::Passphrase(passphrase))
        })?;
        opened.ok_or_else(|| failure!(Refused, "the passphrase is wrong; nothing was changed"))?
    } else {
        decrypt(&Opening::Keys(read_keys(args)?))?.ok_or_else(|| {
            failure!(
                Refused, "the backup is encrypted to other keys; nothing was changed";
                hint: "pass the private key of one of its recipients as --age-identity FILE"
            )
        })?
    };
    backup::unpack(&cx.launcher, &plain)
}

/// Refuses private keys for a backup with a passphrase, and a backup to public keys without them.
fn check_options(args: &IdentityRestore, is_for_passphrase: bool) -> Result<()> {
    match (is_for_passphrase, args.age_identity.is_empty()) {
        (true, false) => bail!(
            Usage, "{} is encrypted to a passphrase, not to a key", args.file.display();
            hint: "leave out --age-identity"
        ),
        (false, true) => bail!(
            Usage, "{} is encrypted to keys, not to a passphrase", args.file.display();
            hint: "pass the private key of one of its recipients as --age-identity FILE, such as ~/.ssh/id_ed25519"
        ),
        _ => Ok(()),
    }
}

/// The private keys of `--age-identity`; the passphrase of one that has one is asked for.
fn read_keys(args: &IdentityRestore) -> Result<AgeKeys> {
    AgeKeys::read(&args.age_identity, |file, unlock| {
        ask::unlock(&args.passphrase, &file.display().to_string(), |passphrase| Ok(unlock(passphrase)))
    })
}

/// The identities of the named hosts, or all.
fn wanted(stored: Vec<StoredIdentity>, named: &[HostName]) -> Result<Vec<StoredIdentity>> {
    let missing = named.iter().find(|host| stored.iter().all(|stored| stored.host != **host));
    if let Some(host) = missing {
        let hosts = stored.iter().map(|stored| stored.host.as_str()).collect::<Vec<_>>().join(", ");
        bail!(Usage(UnknownHost), "the backup has no host '{host}' (hosts: {hosts})");
    }
    Ok(stored.into_iter().filter(|stored| named.is_empty() || named.contains(&stored.host)).collect())
}

/// Asks for each host whose other keys would be lost. Returns the plan without the hosts that the user keeps.
///
/// # Errors
/// `Refused` where nobody can be asked: then nothing is restored.
fn confirm_losses(plan: Vec<Adoption>, yes: bool) -> Result<Vec<Adoption>> {
    let losing = plan.iter().filter(|adoption| !adoption.losses.is_empty()).collect::<Vec<_>>();
    if !losing.is_empty() && !yes && !ui::can_ask() {
        let hosts =
            losing.iter().map(|adoption| adoption.result.host.as_str()).collect::<Vec<_>>().join(", ");
        bail!(
            Refused, "other keys of these hosts are here: {hosts}; nothing was restored";
            hint: "`cargo xtask identity list` shows them; name the other hosts of the backup alone, or pass --yes to replace"
        );
    }
    let mut agreed = Vec::new();
    for adoption in plan {
        let host = &adoption.result.host;
        let losses = adoption.losses.iter().map(|loss| format!("\n  {loss}")).collect::<String>();
        let notice = format!("the backup replaces what this project has of {host}:{losses}");
        if adoption.losses.is_empty() || ask::confirm(&notice, "Replace it?", yes)? {
            agreed.push(adoption);
        }
    }
    Ok(agreed)
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct IdentityRestoreResult {
    /// The folder that the keys were restored to; `None` where they were only listed.
    folder: Option<PathBuf>,
    hosts: Vec<HostInBackup>,
}

/// A host of a backup.
#[derive(Serialize, JsonSchema)]
struct HostInBackup {
    host: HostName,
    /// `SHA256:…`; `None` for a host whose public key alone is known.
    fingerprint: Option<String>,
    /// `SHA256:…` of a pending key.
    pending: Option<String>,
    /// What the restore did; `None` where the hosts were only listed.
    result: Option<RestoreOutcome>,
}

/// What a restore did with the keys of a host.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RestoreOutcome {
    /// The keys of the backup were here already.
    Kept,
    /// Other keys were here.
    Replaced,
    Restored,
}

impl JsonResult for IdentityRestoreResult {}

impl HostInBackup {
    fn of(stored: &StoredIdentity) -> Self {
        Self {
            host: stored.host.clone(),
            fingerprint: stored.fingerprint(),
            pending: stored.pending.as_ref().map(|key| key.public.fingerprint()),
            result: None,
        }
    }
}

impl RestoreOutcome {
    fn of(adoption: &Adoption) -> Self {
        match adoption {
            Adoption { is_done: true, .. } => Self::Kept,
            Adoption { losses, .. } if !losses.is_empty() => Self::Replaced,
            _ => Self::Restored,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Replaced => "replaced",
            Self::Restored => "restored",
        }
    }
}

fn show(cx: &Context, identities: &Identities, plan: &[Adoption]) -> Result<()> {
    if cx.json {
        let hosts = plan.iter().map(|adoption| HostInBackup {
            result: Some(RestoreOutcome::of(adoption)),
            ..HostInBackup::of(&adoption.result)
        });
        let folder = Some(identities.folder().to_owned());
        return ui::print_json(&IdentityRestoreResult { folder, hosts: hosts.collect() });
    }
    for adoption in plan {
        ui::print_result(&format!("{} {}", RestoreOutcome::of(adoption).verb(), summary(&adoption.result)))?;
    }
    if plan.is_empty() {
        cx.note("nothing was restored");
    }
    Ok(())
}

fn show_list(cx: &Context, stored: &[StoredIdentity]) -> Result<()> {
    if cx.json {
        let hosts = stored.iter().map(HostInBackup::of).collect();
        return ui::print_json(&IdentityRestoreResult { folder: None, hosts });
    }
    stored.iter().try_for_each(|stored| ui::print_result(&summary(stored)))
}

/// The host and its key in one line.
fn summary(stored: &StoredIdentity) -> String {
    let key = stored.fingerprint().unwrap_or_else(|| "its public key alone".to_owned());
    let pending = if stored.pending.is_some() { ", and a pending key" } else { "" };
    format!("{} {key}{pending}", stored.host)
}
