//! `identity backup`: writes the keys of hosts to one encrypted file.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ask, name_check};
use crate::base::{Context, HostName, JsonResult};
use crate::cli::identity::IdentityBackup;
use crate::commands::next_step;
use crate::identity::backup::{self, Recipients, Sealing};
use crate::identity::{Identities, StoredIdentity};
use crate::{bail, ui};

pub fn run(cx: &Context, args: &IdentityBackup) -> Result<()> {
    check_options(args)?;
    let identities = super::identities(cx, &args.keys)?;
    let stored = read(cx, &identities, &args.hosts)?;
    let exists = args.file.symlink_metadata().is_ok();
    if exists && !ask::confirm(&format!("{} exists", args.file.display()), "Replace it?", args.yes)? {
        bail!(Refused, "not confirmed; nothing was written");
    }
    let sealing = sealing(args)?;
    let archive = backup::pack(&stored)?;
    let sealed = cx.in_phase("encrypt", || backup::seal(&archive, &sealing))?;
    if !backup::write_file(&args.file, &sealed, exists)? {
        bail!(Refused, "{} exists meanwhile; nothing was written", args.file.display(); hint: "run the command again");
    }
    next_step::after_backup(&args.file, !args.has_recipients(), &args.recipients_file);
    show(cx, args, &stored, &sealing)
}

/// Refuses options that contradict each other.
fn check_options(args: &IdentityBackup) -> Result<()> {
    if args.has_recipients() && args.passphrase.passphrase_fd.is_some() {
        bail!(
            Usage, "a backup is encrypted to recipients or to a passphrase, not to both";
            hint: "leave out --passphrase-fd, or make a second backup"
        );
    }
    // The backup would replace a link, a pipe or a device, such as /dev/stdout.
    let file = args.file.display();
    let hint = "name the file that is to be written";
    match args.file.symlink_metadata() {
        Ok(stat) if stat.is_dir() => bail!(Usage, "{file} is a folder"; hint: "{hint}"),
        Ok(stat) if !stat.is_file() => bail!(Usage, "{file} is not a regular file"; hint: "{hint}"),
        _ => {}
    }
    Ok(())
}

/// The identities of the named hosts, or of all.
fn read(cx: &Context, identities: &Identities, named: &[HostName]) -> Result<Vec<StoredIdentity>> {
    let all = identities.hosts()?;
    let wanted = if named.is_empty() { all } else { named.iter().cloned().collect() };
    let stored = wanted.iter().map(|host| identities.read(&cx.launcher, host)).collect::<Result<Vec<_>>>()?;
    // A host of which only the published key is known has nothing to back up.
    let (stored, empty): (Vec<_>, Vec<_>) = stored.into_iter().partition(StoredIdentity::is_present);
    if let Some(empty) = empty.first().filter(|_| !named.is_empty()) {
        return Err(name_check::no_key_error(cx, &empty.host));
    }
    if stored.is_empty() {
        bail!(
            Refused, "no host has a key in {}", identities.folder().display();
            hint: "flash a host first, or make its key with `cargo xtask identity make HOST`"
        );
    }
    Ok(stored)
}

/// To what the backup is encrypted: recipients, or a passphrase that is asked for.
fn sealing(args: &IdentityBackup) -> Result<Sealing> {
    if args.has_recipients() {
        return Recipients::read(&args.recipient, &args.recipients_file).map(Sealing::Recipients);
    }
    ask::new_passphrase(&args.passphrase).map(Sealing::Passphrase)
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct IdentityBackupResult {
    /// The encrypted file.
    file: PathBuf,
    hosts: Vec<BackedUpHost>,
}

/// A host in the backup.
#[derive(Serialize, JsonSchema)]
struct BackedUpHost {
    host: HostName,
    /// `SHA256:…`; `None` for a host whose public key alone is known.
    fingerprint: Option<String>,
}

impl JsonResult for IdentityBackupResult {}

fn show(cx: &Context, args: &IdentityBackup, stored: &[StoredIdentity], sealing: &Sealing) -> Result<()> {
    if cx.json {
        let hosts = stored.iter();
        let hosts =
            hosts.map(|stored| BackedUpHost { host: stored.host.clone(), fingerprint: stored.fingerprint() });
        return ui::print_json(&IdentityBackupResult { file: args.file.clone(), hosts: hosts.collect() });
    }
    for stored in stored {
        let key = stored.fingerprint().unwrap_or_else(|| "its public key alone".to_owned());
        cx.note(format!("{} {key}", stored.host));
    }
    let opener = match sealing {
        Sealing::Passphrase(_) => "the passphrase".to_owned(),
        Sealing::Recipients(recipients) if recipients.count() == 1 => "the key of its recipient".to_owned(),
        Sealing::Recipients(recipients) => {
            format!("any of the keys of its {} recipients", recipients.count())
        }
    };
    let noun = if stored.len() == 1 { "identity" } else { "identities" };
    ui::print_result(&format!("{} has {} {noun}; {opener} opens it", args.file.display(), stored.len()))
}
