//! Deploying by way of a binary cache: what is built is pushed to the cache once, and the hosts fetch it from there. A
//! cache that is gone, or that lacks a path, costs a host a direct copy, and is waited for once.

mod fetch;
mod reach;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::failure::{ExitKind, kind};
use crate::base::{CacheUrl, Context, Event};
use crate::failure;
use crate::nix::{self, CacheClient, FetchFault, FetchFaultKind, StorePath, Transferred};

use reach::Reach;

/// How a system came to its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Copied {
    /// What the host fetched from the cache; `None` where it was not asked to.
    pub via_cache: Option<Transferred>,
    /// What was copied to the host directly; `None` if nothing had to be.
    pub directly: Option<Transferred>,
    /// Why the host did not fetch everything, if it should have.
    pub fallback: Option<FetchFault>,
}

/// The binary cache of one run, for all its hosts.
pub struct ViaCache {
    /// The context of the run: the push is that of all hosts.
    cx: Context,
    /// The cache as the hosts reach it.
    url: CacheUrl,
    /// The cache as this machine reaches it.
    push_to: CacheUrl,
    pushes: Mutex<Pushes>,
    reach: Mutex<Reach>,
}

/// The pushes of a run.
#[derive(Default)]
struct Pushes {
    /// The systems that are to be pushed.
    waiting: Vec<StorePath>,
    /// The systems that were pushed.
    pushed: Vec<StorePath>,
    moved: Transferred,
    /// Why nothing can be pushed any more.
    fault: Option<FetchFault>,
}

/// What programs get of the cache of a run.
#[derive(Serialize, JsonSchema)]
pub struct CacheResult {
    /// The cache as the hosts reach it.
    url: String,
    /// The cache as this machine pushes to it.
    push_to: String,
    /// What was pushed, without what the cache had already.
    pushed: Transferred,
    /// Why the run could not use the cache, or not any more.
    fault: Option<FetchFault>,
}

impl ViaCache {
    /// The cache at `url`, to which this machine pushes by `push_to`, or else by `url`. `cx` is that of the run.
    pub fn new(cx: &Context, url: CacheUrl, push_to: Option<CacheUrl>) -> Self {
        let push_to = push_to.unwrap_or_else(|| url.clone());
        let cx = cx.with_reporter(cx.reporter.clone());
        Self { cx, url, push_to, pushes: Mutex::default(), reach: Mutex::default() }
    }

    /// The cache as the hosts reach it.
    pub fn url(&self) -> &CacheUrl {
        &self.url
    }

    /// The result for programs.
    pub fn result(&self) -> CacheResult {
        let pushes = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        let reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        CacheResult {
            url: self.url.to_string(),
            push_to: self.push_to.to_string(),
            pushed: pushes.moved,
            fault: pushes.fault.clone().or(reach.gone.clone()),
        }
    }

    /// Expects that a host will fetch `path`: the next push brings it to the cache.
    pub fn expect(&self, path: &StorePath) {
        let mut pushes = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        if !pushes.pushed.contains(path) && !pushes.waiting.contains(path) {
            pushes.waiting.push(path.clone());
        }
    }

    /// Pushes all systems that wait, in one run of Nix, while other hosts wait. Returns why that failed, if it did:
    /// then nothing is pushed any more.
    ///
    /// # Errors
    /// `Interrupted` where the user stops the push.
    fn push_waiting(&self) -> Result<Option<FetchFault>> {
        let mut pushes = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        if pushes.fault.is_some() || pushes.waiting.is_empty() {
            return Ok(pushes.fault.clone());
        }
        let paths = std::mem::take(&mut pushes.waiting);
        match self.push(&paths) {
            Ok(moved) => {
                pushes.moved.paths += moved.paths;
                pushes.moved.bytes += moved.bytes;
                pushes.pushed.extend(paths);
                Ok(None)
            }
            Err(error) if kind(&error) == ExitKind::Interrupted => Err(error),
            Err(error) => {
                let fault = FetchFault { kind: FetchFaultKind::Gone, message: format!("{error:#}") };
                self.report_gone(&fault, CacheClient::Here);
                pushes.fault = Some(fault.clone());
                Ok(Some(fault))
            }
        }
    }

    /// Pushes `paths`, if the cache answers.
    fn push(&self, paths: &[StorePath]) -> Result<Transferred> {
        let launcher = &self.cx.launcher;
        // A folder answers at once, and is made by the push.
        if let Some(path) = paths.first().filter(|_| !self.push_to.is_folder())
            && let Some(fault) = nix::cache_fault(launcher, &self.push_to, path)?
        {
            return Err(failure!(Unreachable, "{fault}"));
        }
        let moved = nix::push(launcher, &self.push_to, paths, self.cx.reporter.as_ref())?;
        self.learn_reach(paths)?;
        Ok(moved)
    }

    /// Reports once for all hosts that the cache cannot be used, as `client` found out.
    fn report_gone(&self, fault: &FetchFault, client: CacheClient<'_>) {
        let cache = if matches!(client, CacheClient::Here) { &self.push_to } else { &self.url };
        let text = format!(
            "the cache {cache} cannot be used, so the systems are copied directly: {}",
            fault.message
        );
        self.cx.reporter.report(&fallback_event(text, fault.hint(client)));
    }
}

/// The event of a direct copy in place of the cache: a warning where there is a remedy.
fn fallback_event(text: String, hint: Option<String>) -> Event {
    match hint {
        Some(hint) => Event::warning_with_hint(text, hint),
        None => Event::note(text),
    }
}

impl fmt::Debug for ViaCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViaCache({}, {})", self.url, self.push_to)
    }
}
