//! Deploying: deploy-rs does the work, and what the host runs afterwards is read back from it.
//!
//! The order is: the node of the flake, the state of the host, the plan, the leftovers of earlier
//! deploys removed, deploy-rs, the state of the host on a fresh connection once it has finished, and
//! the verdict. **Invariant**: success is only ever concluded from states that were read on the host.

mod activation;
mod host;
mod meant;
mod outcome;
mod verdict;

pub use activation::require;
pub use host::State;
pub use meant::{Nodes, Overrides, Target};
pub use outcome::{Outcome, Plan};

use anyhow::{Context as _, Result};

use crate::context::Context;
use crate::failure::Kind;
use crate::ui::Event;
use host::{Activity, Remote, probe, quoted};

/// Reads what the host runs now.
///
/// # Errors
/// Refused where another deploy is at work on the host.
pub fn look(cx: &Context, target: &Target) -> Result<State> {
    let state = probe(&Remote::new(&cx.launcher, &target.host, &target.connection), target)?;
    if state.activity != Activity::Running {
        return Ok(state);
    }
    let host = &target.host;
    Err(Kind::Refused
        .error(format!("an activation is running on {host}: another deploy is at work; wait for it")))
}

/// Carries the plan out and returns what became of it.
///
/// # Errors
/// Where it cannot be found out what the host runs: `Unreachable`, `HostKey` or `Undecided`.
pub fn act(cx: &Context, plan: Plan) -> Result<Outcome> {
    let (target, reporter) = (&plan.target, cx.reporter.as_ref());
    let remote = Remote::new(&cx.launcher, &target.host, &target.connection);
    let args = activation::arguments(target, &cx.flake, &plan.extra)?;
    remove_leftovers(&remote, target, &plan.before)?;
    let ran = activation::run(&cx.launcher, &args, reporter)?;
    if ran.interrupted() {
        reporter.report(&Event::note(format!("stopped; finding out what {} runs", target.host)));
    }
    let after = host::settle(target, reporter, || probe(&remote, target))?;
    let verdict = verdict::judge(target, &plan.before, &after, ran);
    Ok(Outcome { verdict, after, deploy_rs: Some(ran), plan })
}

/// Removes the canary and cancel files of deploys that ended before: deploy-rs would take them for
/// those of this one, and believe what is not true. No activation is running (see [`look`]).
fn remove_leftovers(remote: &Remote, target: &Target, before: &State) -> Result<()> {
    if before.leftovers.is_empty() {
        return Ok(());
    }
    let files = before.leftovers.iter().map(|file| quoted(file)).collect::<Vec<_>>().join(" ");
    let sudo = target.sudo.as_ref().map(|sudo| format!("{sudo} ")).unwrap_or_default();
    let doing = || format!("removing what an earlier deploy left in {} on {}", target.temp_path, target.host);
    remote.run(&format!("{sudo}rm -f -- {files}")).map(drop).with_context(doing)
}
