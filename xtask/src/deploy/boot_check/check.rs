//! Looking ahead to the next boot of a host, and refusing what would not boot.

use std::path::Path;

use anyhow::Result;

use super::built::BuiltSystem;
use super::faults::{BootFault, Candidate};
use crate::base::Context;
use crate::base::failure::{self, ExitKind, kind};
use crate::deploy::host::{BootAnswer, Remote};
use crate::deploy::options::{DeployOptions, Goal};
use crate::deploy::plan::Plan;

/// What a plan knows of the next boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootOutlook {
    pub faults: Vec<BootFault>,
    /// Whether the boot folder gets another kernel, initrd or device trees.
    pub changes_files: bool,
    /// The boot folder, what it is to get, and what it has free; sizes in bytes.
    pub folder: String,
    pub needed: u64,
    pub free: Option<u64>,
    /// Whether the boot folder shares its file system with the Nix store.
    pub shares_store: bool,
}

/// Adds to `plan` what is known of the next boot. What cannot be read is only a warning: other hosts boot otherwise.
///
/// # Errors
/// `Interrupted` if the user stops it.
pub fn look_ahead(cx: &Context, plan: &mut Plan) -> Result<()> {
    if plan.already_done().is_some() && !plan.reboots() {
        return Ok(());
    }
    let mut timings = std::mem::take(&mut plan.timings);
    let found = timings.time("check", || outlook(cx, plan));
    plan.timings = timings;
    match found {
        Ok(found) => plan.boot = found,
        Err(error) if kind(&error) == ExitKind::Interrupted => return Err(error),
        Err(error) => {
            let host = &plan.target.host;
            cx.warn(format!(
                "whether {host} boots the new system is unknown: {}",
                failure::with_hint(&error)
            ));
        }
    }
    Ok(())
}

fn outlook(cx: &Context, plan: &Plan) -> Result<Option<BootOutlook>> {
    let target = &plan.target;
    let system = target.desired_path();
    let Some(built) = BuiltSystem::read(Path::new(system.as_str()))? else { return Ok(None) };
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection).with_mux(plan.mux.as_ref());
    let answer = match &plan.boot_answer {
        BootAnswer::NotAsked => &BootAnswer::ask(&remote, target)?,
        answer => answer,
    };
    let Some(facts) = answer.facts() else { return Ok(None) };
    let candidate = Candidate { host: &target.host, facts, built: &built, trial: &plan.before.trial };
    let absent = built.copies.iter().filter(|(name, _)| !facts.kept.contains(name)).collect::<Vec<_>>();
    Ok(Some(BootOutlook {
        faults: candidate.faults()?,
        changes_files: !absent.is_empty(),
        folder: facts.folder.clone(),
        needed: absent.iter().map(|(_, size)| size).sum(),
        free: facts.free,
        shares_store: facts.shares_store,
    }))
}

/// Refuses a deploy that is about the next boot, if that would go wrong. Warns of the faults that the user lifts.
///
/// # Errors
/// `Refused` with all faults.
pub fn check_boot(cx: &Context, options: &DeployOptions, plan: &Plan) -> Result<()> {
    let Some(outlook) = plan.boot.as_ref().filter(|_| plan.is_about_boot()) else { return Ok(()) };
    let (lifted, kept) =
        outlook.faults.iter().partition::<Vec<_>, _>(|fault| options.keep_firmware && fault.is_lifted);
    for fault in lifted {
        cx.warn(&fault.reason.message);
    }
    refuse(&kept)
}

fn refuse(faults: &[&BootFault]) -> Result<()> {
    match faults {
        [] => Ok(()),
        [BootFault { reason, .. }] => {
            Err(ExitKind::Refused.error_with(&reason.message, reason.hint.clone(), Vec::new()))
        }
        several => {
            let reasons = several.iter().map(|fault| fault.reason.clone()).collect();
            let message = format_args!("refused for {} reasons", several.len());
            Err(ExitKind::Refused.error_with_reasons(message, reasons))
        }
    }
}

impl Plan {
    /// Whether this deploy decides what the host boots next.
    pub fn is_about_boot(&self) -> bool {
        let changes = self.boot.as_ref().is_some_and(|outlook| outlook.changes_files);
        self.goal == Goal::Boot || self.reboots() || changes
    }
}
