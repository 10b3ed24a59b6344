//! The outlook on the next boot of a host, and the refusal of a system that would not boot.

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
    /// The boot folder on the host.
    pub folder: String,
    /// The size of the files that the boot folder is to get, in bytes.
    pub needed: u64,
    /// Free space in the boot folder, in bytes; `None` if unknown.
    pub free: Option<u64>,
    /// Whether the boot folder shares its file system with the Nix store.
    pub shares_store: bool,
}

/// Adds to `plan` what is known of the next boot: nothing for a host that neither changes nor reboots. A failure is
/// only a warning, because many hosts boot without U-Boot.
///
/// # Errors
/// `Interrupted` if the user stops the check.
pub fn add_boot_outlook(cx: &Context, plan: &mut Plan) -> Result<()> {
    if plan.already_done().is_some() && !plan.will_reboot() {
        return Ok(());
    }
    let mut timings = std::mem::take(&mut plan.timings);
    let found = timings.time("check", || read_outlook(cx, plan));
    plan.timings = timings;
    match found {
        Ok(found) => plan.boot = found,
        Err(error) if kind(&error) == ExitKind::Interrupted => return Err(error),
        Err(error) => {
            let host = &plan.target.host;
            cx.warn_of(&error.context(format!("whether {host} boots the new system is unknown")));
        }
    }
    Ok(())
}

/// Reads the boot files of the built system, and compares them with the host. `None` for a system without a kernel, and
/// for a host that U-Boot does not start or that did not answer all questions.
fn read_outlook(cx: &Context, plan: &Plan) -> Result<Option<BootOutlook>> {
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
    let new_files = built.copies.iter().filter(|(name, _)| !facts.kept.contains(name)).collect::<Vec<_>>();
    Ok(Some(BootOutlook {
        faults: candidate.faults()?,
        changes_files: !new_files.is_empty(),
        folder: facts.folder.clone(),
        needed: new_files.iter().map(|(_, size)| size).sum(),
        free: facts.free,
        shares_store: facts.shares_store,
    }))
}

/// Refuses a deploy that is about the next boot (see [`Plan::is_about_boot`]), if that boot has faults. Faults that the
/// user lifts by `--keep-firmware` are warnings.
///
/// # Errors
/// `Refused` with all faults.
pub fn check_boot(cx: &Context, options: &DeployOptions, plan: &Plan) -> Result<()> {
    let Some(outlook) = plan.boot.as_ref().filter(|_| plan.is_about_boot()) else { return Ok(()) };
    let (lifted, kept) =
        outlook.faults.iter().partition::<Vec<_>, _>(|fault| options.keep_firmware && fault.can_be_lifted);
    for fault in lifted {
        cx.warn(&fault.reason.message);
    }
    failure::refuse(kept.into_iter().map(|fault| fault.reason.clone()).collect())
}

impl Plan {
    /// Whether faults of the next boot concern this deploy: the deploy is for the next boot, reboots the host, or gives
    /// the boot folder other files.
    pub fn is_about_boot(&self) -> bool {
        let changes_files = self.boot.as_ref().is_some_and(|outlook| outlook.changes_files);
        self.goal == Goal::Boot || self.will_reboot() || changes_files
    }
}
