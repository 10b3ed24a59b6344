//! Shows the plan of a build, and asks before one that takes hours.

use anyhow::Result;
use serde::Serialize;

use super::text::named;
use super::{BuildPlan, Place};
use crate::bail;
use crate::base::{Bytes, Context, Question};

/// What to do instead of an emulated build of hours.
const INSTEAD: &str = "usually an overlay, an override or another nixpkgs has changed a package that the binary caches \
                       have: follow the nixpkgs of the flake that changed it, or drop the change; or build on an \
                       AArch64 machine as a remote builder; or add --allow-slow-builds";

/// The plan as an event for programs.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum BuildPlanEvent<'a> {
    Build(&'a BuildPlan),
}

/// Shows `plan`, unless there is nothing to do, and asks the user where it takes hours.
///
/// # Errors
/// `Refused` where the store lacks room, and where nobody agrees to a build of hours.
pub fn agree(cx: &Context, plan: &BuildPlan) -> Result<()> {
    if plan.is_empty() {
        return Ok(());
    }
    cx.note_plan(&format!("plan    {}", plan.summary()), &BuildPlanEvent::Build(plan));
    if let Some(free) = plan.free_bytes.filter(|_| plan.lacks_room()) {
        bail!(
            Refused(NoRoom), "the store has no room for what is fetched: {} are needed, {} are free",
            Bytes(plan.unpacked_bytes), Bytes(free);
            hint: "run `nix-collect-garbage`, or make room on the disk of /nix/store"
        );
    }
    check_builders(cx, plan)?;
    match named(plan.slow_builds()) {
        Some(names) => agree_to_slow_builds(cx, &names),
        None => Ok(()),
    }
}

/// Names the remote builders that do not answer.
///
/// # Errors
/// `Refused` where nothing else builds a derivation of the plan.
fn check_builders(cx: &Context, plan: &BuildPlan) -> Result<()> {
    let Some(text) = plan.dead_builders_text(" ") else { return Ok(()) };
    let is_stuck = plan.derivations.iter().find(|build| build.place == Place::Nowhere);
    if let Some(build) = is_stuck {
        let system = build.system.as_deref().unwrap_or_default();
        bail!(
            Refused, "nothing builds for {system}: {text}";
            hint: "start a builder, correct its line in the machines file of nix, or name another by --builder"
        );
    }
    let text = plan.dead_builders_text(", which ").unwrap_or_default();
    cx.warn(format!("this build does without {text}"));
    Ok(())
}

/// Asks whether the builds with these `names` may run under emulation.
fn agree_to_slow_builds(cx: &Context, names: &str) -> Result<()> {
    let what = format!("{names} would be built by emulation here, which takes hours");
    let question = Question {
        notice: &format!("{what}: {INSTEAD}."),
        question: "Build it all the same? [y/N]",
        unanswered: "stopped; nothing was built",
    };
    match cx.approver.approve(&question)? {
        Some(true) => Ok(()),
        Some(false) => bail!(Refused, "stopped; nothing was built"),
        None => bail!(Refused, "{what}"; hint: "{INSTEAD}"),
    }
}
