//! The hosts of a flake for the completion of a command line, which the user waits for.

use anyhow::Result;

use super::catalogue::Catalogue;
use super::names::Names;
use crate::base::FlakeRef;
use crate::base::process::Launcher;
use crate::nix::{EvalCache, Fingerprint};

impl Catalogue {
    /// Like [`Self::get_or_read`], without network, and by one evaluation at most. Without a `fingerprint` the cache is
    /// not used.
    ///
    /// # Errors
    /// That of Nix.
    pub fn get_or_read_at_once(
        launcher: &Launcher,
        flake: &FlakeRef,
        cache: &EvalCache,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<Self> {
        if let Some(names) = fingerprint.and_then(|fingerprint| Names::from_cache(cache, fingerprint)) {
            return Ok(Self::new(flake, &names));
        }
        let names = Names::read_at_once(launcher, flake, &["--offline".to_owned()])?;
        if let Some(fingerprint) = fingerprint.filter(|_| names.broken.is_empty()) {
            names.store(launcher, flake, cache, fingerprint);
        }
        Ok(Self::new(flake, &names))
    }
}
