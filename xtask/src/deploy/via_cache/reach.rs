//! Whether the cache is gone for all hosts, or only beyond the reach of one.

use std::sync::PoisonError;

use anyhow::Result;

use super::ViaCache;
use crate::nix::{self, CacheClient, FetchFault, FetchFaultKind, StorePath};

/// What the hosts of a run have found out about the cache.
#[derive(Default)]
pub struct Reach {
    /// Whether this machine reaches the cache by the URL of the hosts: then it can tell that the cache is gone. `None`
    /// before the first push.
    from_here: Option<bool>,
    /// Whether a host has reached the cache.
    from_host: bool,
    /// Why no host is sent to the cache any more.
    pub gone: Option<FetchFault>,
}

impl ViaCache {
    /// Finds out whether this machine reaches the cache as the hosts do. It has just pushed `paths`.
    pub(super) fn learn_reach(&self, paths: &[StorePath]) -> Result<()> {
        let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        if reach.from_here.is_none() {
            let answers = self.push_to == self.url || self.answers(paths)?;
            reach.from_here = Some(answers);
        }
        Ok(())
    }

    /// Why no host is sent to the cache any more; `None` as long as hosts are.
    pub(super) fn gone(&self) -> Option<FetchFault> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner).gone.clone()
    }

    /// Learns that a host has reached the cache.
    pub(super) fn learn_reached(&self) {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner).from_host = true;
    }

    /// Judges the `fault` of a host that could not reach the cache to fetch `path`: the cache is gone where it answers
    /// this machine no more. A cache that never answered this machine is gone if no host has reached it. A folder is
    /// that of each host: what one lacks, another may have, and nothing is waited for.
    ///
    /// # Errors
    /// `Interrupted` where the user stops the question.
    pub(super) fn judge_unreached(&self, fault: &FetchFault, path: &StorePath) -> Result<()> {
        // Hosts that begin meanwhile wait for the judgement, and not for the cache.
        let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        if reach.gone.is_some() || self.url.is_folder() {
            return Ok(());
        }
        let is_gone = match reach.from_here {
            Some(true) => !self.answers(std::slice::from_ref(path))?,
            _ => !reach.from_host,
        };
        if is_gone {
            let fault = FetchFault { kind: FetchFaultKind::Gone, ..fault.clone() };
            self.report_gone(&fault, CacheClient::Host("each host"));
            reach.gone = Some(fault);
        }
        Ok(())
    }

    /// Whether the cache answers this machine by the URL of the hosts.
    fn answers(&self, paths: &[StorePath]) -> Result<bool> {
        let Some(path) = paths.first() else { return Ok(false) };
        Ok(nix::cache_fault(&self.cx.launcher, &self.url, path)?.is_none())
    }
}
