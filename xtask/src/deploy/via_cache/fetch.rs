//! What one host fetches from the cache.

use std::sync::PoisonError;

use anyhow::Result;

use super::{Copied, ViaCache, fallback_event};
use crate::base::Context;
use crate::deploy::host::{Remote, SshMux};
use crate::deploy::plan::Plan;
use crate::nix::{self, CacheClient, FetchFault, FetchFaultKind};

impl ViaCache {
    /// Lets the host of `plan` fetch its system, once all systems are pushed. What it lacks afterwards is left to a
    /// direct copy, which a note announces.
    ///
    /// # Errors
    /// `Interrupted` where the user stops the push or the fetch.
    pub fn fetch(&self, cx: &Context, plan: &Plan, mux: Option<&SshMux>) -> Result<Copied> {
        let mut copied = Copied::default();
        if let Some(fault) = self.fault_before(plan)? {
            report_fallback(cx, self, plan, &fault);
            copied.fallback = Some(fault);
            return Ok(copied);
        }
        let target = &plan.target;
        let remote = Remote::new(&cx.launcher, &target.host, &target.connection).with_mux(mux);
        let command = nix::fetch_command(&root_prefix(plan), &self.url, &target.path);
        let (moved, fault) =
            nix::follow_fetch(cx.reporter.as_ref(), |on_line| remote.stream(&command, on_line))?;
        match &fault {
            Some(fault) if fault.kind == FetchFaultKind::Unreachable => {
                self.judge_unreached(fault, &target.path)?;
            }
            _ => self.learn_reached(),
        }
        if let Some(fault) = &fault {
            report_fallback(cx, self, plan, fault);
        }
        Ok(Copied { via_cache: Some(moved), directly: None, fallback: fault })
    }

    /// Why the host need not be sent to the cache; `None` if it is to be.
    fn fault_before(&self, plan: &Plan) -> Result<Option<FetchFault>> {
        if let Some(fault) = rights_fault(plan) {
            return Ok(Some(fault));
        }
        let fault = self.push_waiting()?;
        Ok(fault.or_else(|| self.gone()))
    }
}

/// What makes the command root on the host: nothing where ssh logs in as root, and where sudo asks for a password.
fn root_prefix(plan: &Plan) -> String {
    if plan.before.passwordless_sudo == Some(true) { plan.target.sudo_prefix() } else { String::new() }
}

/// The fault of a user whose choice of a cache the Nix of the host ignores.
fn rights_fault(plan: &Plan) -> Option<FetchFault> {
    let is_root = plan.target.sudo.is_none() || plan.before.passwordless_sudo == Some(true);
    if is_root || plan.store.trusted == Some(true) {
        return None;
    }
    let user = plan.target.connection.user();
    let message =
        format!("{user} needs a password for sudo there, and its Nix lets only root choose a cache");
    Some(FetchFault { kind: FetchFaultKind::NotAllowed, message })
}

/// Reports why the host of `plan` gets a direct copy. The run has reported a cache that is gone for all.
fn report_fallback(cx: &Context, cache: &ViaCache, plan: &Plan, fault: &FetchFault) {
    let host = &plan.target.host;
    let text = format!(
        "{host} does not fetch its system from {}, so it is copied directly: {}",
        cache.url, fault.message
    );
    let is_gone_for_all = cache.reach.lock().unwrap_or_else(PoisonError::into_inner).gone.is_some()
        && fault.kind == FetchFaultKind::Unreachable;
    if fault.kind != FetchFaultKind::Gone && !is_gone_for_all {
        let hint = fault.hint(CacheClient::Host(&host.to_string()));
        cx.reporter.report(&fallback_event(text, hint));
    }
}
