//! Adopting identities that were made elsewhere, by an import or from a backup.

use anyhow::Result;

use super::change::Identities;
use super::known_hosts::NewKeys;
use super::known_key::fingerprint_of;
use super::stored::{KeyPair, StoredIdentity};
use crate::bail;
use crate::base::process::Launcher;

/// An identity that is to be adopted, compared with what the project has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// What the project has afterwards.
    pub result: StoredIdentity,
    /// What is lost by that, such as `the key SHA256:…`; empty for an identity that replaces nothing.
    pub losses: Vec<String>,
    /// Whether the project has exactly that already.
    pub is_done: bool,
    /// Whether the folder of the key changes.
    replaces_keys: bool,
    /// The key for the published `known_hosts`, where that has another.
    published: Option<String>,
}

impl Adoption {
    /// Compares `new` with the identity of the same host in `identities`. What `new` lacks stays as it is.
    ///
    /// # Errors
    /// As [`Identities::read`].
    pub fn plan(identities: &Identities, launcher: &Launcher, new: StoredIdentity) -> Result<Self> {
        let old = identities.read(launcher, &new.host)?;
        let fingerprint = |pair: &KeyPair| pair.public.fingerprint();
        let mut losses = Vec::new();
        losses.extend(
            lost(old.key.as_ref(), new.key.as_ref())
                .map(|pair| format!("the private key {}", fingerprint(pair))),
        );
        losses.extend(
            lost(old.pending.as_ref(), new.pending.as_ref())
                .map(|pair| format!("the pending key {}", fingerprint(pair))),
        );
        losses.extend(lost(old.known.as_ref(), new.known.as_ref()).map(|key| {
            format!("the line of {} in {}", fingerprint_of(key), identities.known_hosts.path.display())
        }));
        let result = StoredIdentity {
            host: new.host,
            key: new.key.or_else(|| old.key.clone()),
            pending: new.pending.or_else(|| old.pending.clone()),
            known: new.known.or_else(|| old.known.clone()),
        };
        let mut published = None;
        if let (Some((old, file)), Some(known)) = (identities.published_key(&result.host)?, &result.known)
            && old != *known
        {
            losses.push(format!("the line of {} in {}", fingerprint_of(&old), file.display()));
            published = Some(known.clone());
        }
        let is_done = result == old && published.is_none();
        let replaces_keys = result.key != old.key || result.pending != old.pending;
        Ok(Self { result, losses, is_done, replaces_keys, published })
    }
}

/// The `old` value, if `new` is another.
fn lost<'a, T: PartialEq>(old: Option<&'a T>, new: Option<&T>) -> Option<&'a T> {
    old.filter(|old| new.is_some_and(|new| new != *old))
}

/// Adopts identities as planned: all of them, or none.
///
/// # Errors
/// `Refused` where another run has changed one of them since, or uses its key.
pub fn adopt(identities: &Identities, launcher: &Launcher, planned: &[Adoption]) -> Result<()> {
    if planned.iter().all(|adoption| adoption.is_done) {
        return Ok(());
    }
    let mut change = identities.begin_change()?;
    let mut known = NewKeys::new();
    let mut published = NewKeys::new();
    for adoption in planned.iter().filter(|adoption| !adoption.is_done) {
        let result = &adoption.result;
        let now = Adoption::plan(identities, launcher, result.clone())?;
        if now != *adoption {
            bail!(
                Refused, "another run has changed the identity of {} meanwhile; nothing was changed", result.host;
                hint: "run the command again"
            );
        }
        change.lock_key(&result.host)?;
        if adoption.replaces_keys {
            change.put(result)?;
        }
        if let Some(key) = &result.known {
            known.insert(result.host.clone(), vec![key.clone()]);
        }
        published.extend(adoption.published.clone().map(|key| (result.host.clone(), vec![key])));
    }
    change.set_known(known);
    change.set_published(published);
    change.commit()
}
