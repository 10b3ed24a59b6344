//! Putting in place what this machine lacks: facts, a plan that is shown, and its steps.
//!
//! Debian and Ubuntu are set up; NixOS is configured by its owner's flake and gets advice only.

mod act;
mod advice;
pub mod debian;
mod distribution;
mod facts;
mod nix;
mod plan;
mod root;
mod tools;

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::base::failure::ExitKind;
use crate::base::process::Launcher;
use crate::base::{Context, project};
use crate::identity;
use crate::nix as tool;
use crate::nix::emulation;

use facts::Facts;
use plan::{Step, plan};
use root::Privilege;

/// What the machine is to be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Building and flashing images.
    Build,
    /// Deploying to hosts.
    Deploy,
    /// Booting a card in an emulator.
    Boot,
    /// Running this repository's own suites.
    Tests,
}

/// Whether a user who is not root has agreed to what is run by sudo.
#[derive(Clone, Copy)]
pub enum Sudo {
    /// Asks with this function, which is given the commands that need root.
    Ask(fn(&Context, &str) -> Result<bool>),
    Agreed,
}

/// What has become of it. Also the JSON of `setup`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What is needed and was there before.
    pub there: Vec<&'static str>,
    /// The steps that were carried out, in words.
    pub done: Vec<String>,
    /// How long all of it took.
    pub seconds: f64,
}

/// Puts in place what is missing for `needs`, and makes the context use it.
///
/// # Errors
/// A step that failed, rights that could not be had, and a system that `setup` cannot change: the
/// message says what to do by hand.
pub fn ensure(cx: &mut Context, needs: &[Needs], sudo: Sudo) -> Result<Report> {
    let start = Instant::now();
    let facts = Facts::gather(cx, needs);
    let steps = plan(&facts);
    carry_out(cx, &facts, &steps, sudo)?;
    prove(cx, needs)?;
    tool::shield(cx, &identity::folder())?;
    let seconds = start.elapsed().as_secs_f64();
    cx.note(match steps.len() {
        0 => format!("setup: nothing to do ({seconds:.1} s)"),
        _ => format!("setup: done in {seconds:.1} s"),
    });
    Ok(Report { there: facts.there(needs), done: steps.iter().map(Step::to_string).collect(), seconds })
}

fn carry_out(cx: &mut Context, facts: &Facts, steps: &[Step], sudo: Sudo) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    if let Some(advice) = advice::for_machine(facts, steps) {
        return Err(ExitKind::Refused.error(advice));
    }
    show(cx, steps);
    let by = privilege(cx, facts, steps, sudo)?;
    for step in steps {
        cx.note(format!("setup: {step}"));
        act::carry_out(cx, step, by)?;
    }
    cx.launcher = tool::private_nix::activate(Launcher::new(project::root()), &project::tools_dir());
    Ok(())
}

/// The configuration that this machine needs, where it is a NixOS machine.
pub fn configuration() -> Option<&'static str> {
    let here = distribution::Distribution::load(std::path::Path::new("/etc"));
    (here == distribution::Distribution::NixOs).then_some(advice::NIXOS)
}

fn show(cx: &Context, steps: &[Step]) {
    let lines = steps.iter().map(|step| format!("  - {step}")).collect::<Vec<_>>();
    cx.note(format!("setup: steps to do: {}\n{}", steps.len(), lines.join("\n")));
}

/// Asks before anything is done as root for a user who is not root.
fn privilege(cx: &Context, facts: &Facts, steps: &[Step], sudo: Sudo) -> Result<Privilege> {
    let commands = steps.iter().flat_map(|step| step.as_root(&facts.user)).collect::<Vec<_>>();
    let by = Privilege::gather(&cx.launcher);
    if commands.is_empty() || by == Privilege::Root {
        return Ok(by);
    }
    let lines = commands.iter().map(|command| format!("  {command}")).collect::<Vec<_>>().join("\n");
    let agreed = match sudo {
        _ if by == Privilege::Nobody => false,
        Sudo::Agreed => true,
        Sudo::Ask(ask) => ask(cx, &format!("These commands need root and are run by sudo:\n{lines}"))?,
    };
    if agreed {
        return Ok(by);
    }
    Err(ExitKind::Permission.error(format!("run these as root, and then this command again:\n{lines}")))
}

/// Whether what was asked for is there now: asked of the machine, not of the steps.
fn prove(cx: &Context, needs: &[Needs]) -> Result<()> {
    let version = tool::require(&cx.launcher)?;
    emulation::require(cx, version, "aarch64-linux")?;
    let missing = tools::needed_for(needs).filter(|tool| !facts::is_there(&cx.launcher, tool.program));
    let missing = missing.map(|tool| tool.program).collect::<Vec<_>>();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ExitKind::Other.error(format!("setup has run, but there is still no {}", missing.join(", "))))
}
