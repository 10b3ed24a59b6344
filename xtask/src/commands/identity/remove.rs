//! `identity remove`: removes the key of a host from this project.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ask, name_check};
use crate::base::{Context, HostName, JsonResult};
use crate::cli::identity::IdentityRemove;
use crate::commands::next_step;
use crate::identity::{Identities, NewKeys, fingerprint_of};
use crate::{bail, ui};

pub fn run(cx: &Context, args: &IdentityRemove) -> Result<()> {
    let identities = super::identities(cx, &args.keys)?;
    let removal = Removal::plan(cx, &identities, &args.host)?;
    ask::confirm_host(&args.host, &removal.notice(&args.host), args.yes.yes)?;
    let mut change = identities.begin_change()?;
    if Removal::plan(cx, &identities, &args.host)? != removal {
        bail!(
            Refused, "another run has changed the identity of {} meanwhile; nothing was changed", args.host;
            hint: "run the command again"
        );
    }
    change.lock_key(&args.host)?;
    change.remove(&args.host);
    let none = NewKeys::from([(args.host.clone(), Vec::new())]);
    change.set_known(none.clone());
    if removal.is_published {
        change.set_published(none);
    }
    change.commit()?;
    if let Some(file) = identities.published.as_ref().filter(|_| removal.is_published) {
        next_step::commit(file.path());
    }
    if cx.json {
        return ui::print_json(&IdentityRemoveResult { host: args.host.clone(), removed: removal.parts });
    }
    ui::print_result(&format!("removed {}: {}", args.host, removal.parts.join(", ")))
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct IdentityRemoveResult {
    host: HostName,
    /// What was removed, in words.
    removed: Vec<String>,
}

impl JsonResult for IdentityRemoveResult {}

/// What is removed.
#[derive(Debug, PartialEq, Eq)]
struct Removal {
    /// `the private key SHA256:…` and the like.
    parts: Vec<String>,
    has_private: bool,
    is_published: bool,
}

impl Removal {
    /// # Errors
    /// `Refused` where there is nothing to remove, and `Usage` where the flake has no such host either.
    fn plan(cx: &Context, identities: &Identities, host: &HostName) -> Result<Self> {
        let folder = identities.key_folder(host)?.path().to_owned();
        let mut parts = Vec::new();
        match identities.read(&cx.launcher, host) {
            Ok(stored) => {
                let named = [("private", stored.key), ("pending", stored.pending)];
                let keys = named.into_iter().filter_map(|(name, key)| Some((name, key?)));
                parts.extend(keys.map(|(name, key)| format!("the {name} key {}", key.public.fingerprint())));
                if parts.is_empty() && folder.symlink_metadata().is_ok() {
                    parts.push(format!("the folder {} without a key", folder.display()));
                }
            }
            Err(error) => parts.push(format!("the unusable folder {} ({error})", folder.display())),
        }
        let has_private = !parts.is_empty();
        let known = identities.known_hosts.keys_of(host)?;
        let path = identities.known_hosts.path.display();
        parts.extend(known.iter().map(|key| format!("the line of {} in {path}", fingerprint_of(key))));
        let published = identities.published_key(host)?;
        let is_published = published.is_some();
        parts.extend(
            published
                .map(|(key, file)| format!("the line of {} in {}", fingerprint_of(&key), file.display())),
        );
        if parts.is_empty() {
            return Err(name_check::no_key_error(cx, host));
        }
        Ok(Self { parts, has_private, is_published })
    }

    fn notice(&self, host: &HostName) -> String {
        let parts = self.parts.iter().map(|part| format!("\n  {part}")).collect::<String>();
        let consequence = if self.has_private {
            "\nNo backup is made. The card keeps its key: a deploy to it is then refused or asks, and secrets that are \
             encrypted to the key can be read on the card alone."
        } else {
            ""
        };
        format!("this removes what the project has of {host}:{parts}{consequence}")
    }
}
