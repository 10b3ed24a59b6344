//! The warnings of a payload: of keys that are known elsewhere, and of files that Nix copies to its store.

use anyhow::Result;

use super::PayloadSetup;
use super::requested_key::RequestedKey;
use crate::base::{Context, Event, FlakeRef};
use crate::identity::{self, HostKey, Identities, Identity, KeyChoice, KeyOrigin};

impl PayloadSetup {
    /// Warns of other keys of the host. `new` is the identity that a flash would make a key for, in a dry run.
    pub(super) fn warn_of_keys(&self, cx: &Context, flake: &FlakeRef, new: Option<&Identity>) -> Result<()> {
        self.warn_of_pending(cx);
        self.warn_of_known(cx, flake, new)
    }

    /// Warns if a newer key than the kept one is pending, which a card may have.
    fn warn_of_pending(&self, cx: &Context) {
        let Some(RequestedKey { folder, choice: KeyChoice::Keep }) = &self.requested_key else { return };
        if self.key.as_ref().is_none_or(HostKey::was_pending) {
            return;
        }
        match folder.pending_key(&cx.launcher) {
            Ok(None) => {}
            Ok(Some(key)) => cx.warn(format!(
                "a newer key of {} is pending, {}: an unfinished flash may have put it on a card; pass --identity \
                 new to use it, or remove {} to drop it",
                folder.host(),
                key.fingerprint(),
                folder.pending_path().display()
            )),
            Err(error) => cx.warn_of(&error),
        }
    }

    /// Warns of a first key for a host whose key is known: its private key is elsewhere, such as with another person.
    /// `new` is as for [`Self::warn_of_keys`].
    fn warn_of_known(&self, cx: &Context, flake: &FlakeRef, new: Option<&Identity>) -> Result<()> {
        let identity = new.or(self.key.as_ref().map(|key| &key.identity));
        let Some(Identity { host, origin: KeyOrigin::New, .. }) = identity else { return Ok(()) };
        if self.requested_key.as_ref().is_none_or(|requested| requested.choice != KeyChoice::Keep) {
            return Ok(());
        }
        for (key, file) in Identities::new(&cx.state, flake, None)?.known_keys(host)? {
            let fingerprint = identity::fingerprint_of(&key);
            let text = format!(
                "the card gets a new key: {} has the key {fingerprint} of {host}, and its private key is not here",
                file.display()
            );
            let hint =
                format!("stop, and run `cargo xtask identity import {host:#} FILE` with the key, to keep it");
            cx.reporter.report(&Event::warning_with_hint(text, &hint));
        }
        Ok(())
    }

    /// Warns where Nix copies the files to its store. The files need not be secret, so this is no refusal.
    pub(super) fn warn_of_stores(&self, cx: &Context, flake: &FlakeRef) -> Result<()> {
        let Some((dir, _)) = &self.files else { return Ok(()) };
        if identity::is_copied_to_store(&cx.launcher, dir, flake)? {
            let dir = dir.display();
            cx.warn(format!("Nix copies {dir} with the flake to its store, where every user can read it"));
        }
        Ok(())
    }
}
