//! The files with known keys, once a card is written.

use anyhow::Result;

use crate::base::failure;
use crate::base::{Context, HostName};
use crate::identity::{HostKey, KeyFolder, PublishedHosts};

/// Makes the key of a written card that of its host, for deploys too.
///
/// # Errors
/// Where the key cannot be recorded: the card has it all the same.
pub fn add(cx: &Context, key: &HostKey) -> Result<()> {
    let host = &key.identity.host;
    let is_new = key.commit().map_err(|error| {
        let text = format!("the card is verified, but its key was not added to known_hosts: {error:#}");
        let hint = format!(
            "put `{host} {}` into {} as the only line of {host}",
            key.public.line(),
            key.folder().known_hosts().display()
        );
        failure::kind(&error).error_with_hint(text, hint)
    })?;
    if is_new {
        cx.note(format!("added the key of {host} to known_hosts of the project"));
    }
    warn_of_another_published(cx, host, Some(&key.public.line()));
    Ok(())
}

/// Removes the key of a host whose written card makes its own.
///
/// # Errors
/// Where `known_hosts` cannot be written.
pub fn remove(cx: &Context, folder: &KeyFolder) -> Result<()> {
    let host = folder.host();
    let is_removed = folder.remove_known_host().map_err(|error| {
        let text = format!("the card is verified, but known_hosts still has another key: {error:#}");
        let hint = format!("remove the line of {host} from {}", folder.known_hosts().display());
        failure::kind(&error).error_with_hint(text, hint)
    })?;
    if is_removed {
        cx.note(format!("removed the key of {host} from known_hosts of the project: the host makes its own"));
    }
    warn_of_another_published(cx, &host.into(), None);
    Ok(())
}

/// Warns where `known_hosts` beside `flake.nix` has another key of `host` than `key`, which a card got; `None` for a
/// host that makes its own.
fn warn_of_another_published(cx: &Context, host: &HostName, key: Option<&str>) {
    let Some(file) = PublishedHosts::of(&cx.flake) else { return };
    let path = file.path().display();
    match file.keys_of(host) {
        Err(error) => cx.warn_of(&error),
        Ok(keys) if keys.is_empty() || keys.iter().any(|published| Some(published.as_str()) == key) => {}
        Ok(_) if key.is_some() => cx.warn(format!(
            "{path} has another key of {host}, so deploys stop: run `cargo xtask identity publish {host:#}`, and commit it"
        )),
        Ok(_) => cx.warn(format!(
            "{path} has a key of {host}, which makes another now: after the first boot run \
             `cargo xtask identity trust {host:#}`, and commit the file"
        )),
    }
}
