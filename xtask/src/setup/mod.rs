//! Installs what this machine lacks: gathers facts, shows a plan, and runs its steps.
//!
//! `setup` changes Debian and Ubuntu; for NixOS, which its owner's flake configures, it only gives advice.

pub mod debian;
mod distribution;
mod facts;
#[cfg(feature = "dev")]
mod newest_nix;
mod nix;
mod packages;
mod plan;
mod root;
mod step_runner;
mod tools;
mod unsupported;

use std::time::Instant;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::bail;
use crate::base::{Context, project};
use crate::identity;
use crate::nix as nix_command;
use crate::nix::emulation;

#[cfg(feature = "dev")]
pub use newest_nix::install_newest_nix;

use facts::Facts;
use plan::{Step, plan_steps};
use root::Privilege;

/// What to set the machine up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Building and flashing images.
    Build,
    /// Deploying to hosts.
    Deploy,
    /// Reading backups of hosts.
    Backups,
    /// Booting a card in an emulator.
    Boot,
    /// Booting snapshots of cards and images, with a U-Boot of this machine.
    Snapshot,
    /// Running this repository's own suites.
    Tests,
}

/// Whether a user who is not root has confirmed the commands that run by sudo.
#[derive(Clone, Copy)]
pub enum Sudo {
    /// Asks with this function, which gets the commands that need root.
    Ask(fn(&Context, &str) -> Result<bool>),
    Confirmed,
}

/// A step that installs what is missing. Also the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SetupStep")]
pub struct PlannedStep {
    /// The step in words.
    pub step: String,
    /// The commands of the step that need root.
    pub root_commands: Vec<String>,
}

impl From<&Step> for PlannedStep {
    fn from(step: &Step) -> Self {
        let commands = step.root_commands().iter().map(ToString::to_string).collect();
        Self { step: step.to_string(), root_commands: commands }
    }
}

/// The result of a setup. Also the JSON of `setup`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "SetupReport")]
pub struct Report {
    /// The requirements that the machine met before the setup.
    pub present: Vec<&'static str>,
    /// What was missing.
    pub steps: Vec<PlannedStep>,
    /// The steps that were run, in words; none in a dry run.
    pub done: Vec<String>,
    /// The duration of the setup.
    pub seconds: f64,
}

/// Installs what is missing for `purposes`, and makes the context use it. `sudo` decides whether steps may run as root.
///
/// # Errors
/// Where a step fails, a privilege is missing, or `setup` does not support the system; the hint names the manual steps.
pub fn ensure(cx: &mut Context, purposes: &[Purpose], sudo: Sudo) -> Result<Report> {
    let start = Instant::now();
    let facts = Facts::gather(cx, purposes)?;
    let steps = plan_steps(&facts);
    show_and_run(cx, &facts, &steps, sudo)?;
    verify(cx, purposes)?;
    nix_command::protect_keys_from_builds(cx, &identity::folder(&cx.state))?;
    let seconds = start.elapsed().as_secs_f64();
    cx.note(match steps.len() {
        0 => format!("setup: nothing to do ({seconds:.1} s)"),
        _ => format!("setup: done in {seconds:.1} s"),
    });
    let done = steps.iter().map(Step::to_string).collect();
    Ok(Report { done, seconds, ..Report::planned(&facts, purposes, &steps) })
}

/// Shows what [`ensure`] would do, and changes nothing.
///
/// # Errors
/// `Refused` where `setup` does not support the system, and where it has no step for what is missing; the hint names
/// the manual steps.
pub fn plan(cx: &Context, purposes: &[Purpose]) -> Result<Report> {
    let start = Instant::now();
    let facts = Facts::gather(cx, purposes)?;
    let steps = plan_steps(&facts);
    if steps.is_empty() {
        verify(cx, purposes)?;
    } else {
        unsupported::check_machine(&facts, &steps)?;
        show_steps(cx, &steps);
    }
    if let Some(lines) = root_lines(&steps) {
        cx.note(format!("These commands need root:\n{lines}"));
    }
    Ok(Report { seconds: start.elapsed().as_secs_f64(), ..Report::planned(&facts, purposes, &steps) })
}

impl Report {
    /// The report of the `steps` before they are run.
    fn planned(facts: &Facts, purposes: &[Purpose], steps: &[Step]) -> Self {
        let steps = steps.iter().map(PlannedStep::from).collect();
        Self { present: facts.met_requirements(purposes), steps, done: Vec::new(), seconds: 0.0 }
    }
}

/// The commands of `steps` that need root, each on a line of its own; `None` without such a command.
fn root_lines(steps: &[Step]) -> Option<String> {
    let commands = steps.iter().flat_map(Step::root_commands);
    let lines = commands.map(|command| format!("  {command}")).collect::<Vec<_>>();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Shows `steps` and runs them, and makes the context use the programs that they install.
fn show_and_run(cx: &mut Context, facts: &Facts, steps: &[Step], sudo: Sudo) -> Result<()> {
    if steps.is_empty() {
        return Ok(());
    }
    unsupported::check_machine(facts, steps)?;
    show_steps(cx, steps);
    let privilege = confirm_privilege(cx, steps, sudo)?;
    for step in steps {
        cx.note(format!("setup: {step}"));
        step_runner::run(cx, step, privilege)?;
    }
    cx.launcher = nix_command::private_nix::activate(cx.launcher.clone(), &project::tools_dir());
    Ok(())
}

/// What to add to the configuration of this machine, if it runs NixOS.
pub fn configuration() -> Option<&'static str> {
    let distribution = distribution::Distribution::load(std::path::Path::new("/etc"));
    (distribution == distribution::Distribution::NixOs).then_some(unsupported::NIXOS_ADVICE)
}

fn show_steps(cx: &Context, steps: &[Step]) {
    let words = steps.iter().map(Step::to_string).collect::<Vec<_>>();
    let lines = words.iter().map(|step| format!("  - {step}")).collect::<Vec<_>>();
    let text = format!("setup: steps to do: {}\n{}", steps.len(), lines.join("\n"));
    cx.note_plan(&text, &json!({ "kind": "setup", "steps": words }));
}

/// Finds out how to run the root commands of `steps`. A user who is not root has to confirm them.
///
/// # Errors
/// `Permission` where there is no sudo, or the user does not confirm.
fn confirm_privilege(cx: &Context, steps: &[Step], sudo: Sudo) -> Result<Privilege> {
    let privilege = Privilege::detect(&cx.launcher);
    let Some(lines) = root_lines(steps).filter(|_| privilege != Privilege::Root) else {
        return Ok(privilege);
    };
    if privilege == Privilege::Unavailable {
        bail!(
            Permission, "setup needs root, and there is no sudo on PATH";
            hint: "run these commands as root, then this command again:\n{lines}"
        );
    }
    let is_confirmed = match sudo {
        Sudo::Confirmed => true,
        Sudo::Ask(ask) => ask(cx, &format!("These commands need root and run by sudo:\n{lines}"))?,
    };
    if !is_confirmed {
        bail!(
            Permission, "setup needs root, and nobody has confirmed that it runs sudo";
            hint: "run these commands as root, then this command again:\n{lines}"
        );
    }
    Ok(privilege)
}

/// Verifies that the machine now has a recent Nix that builds for `aarch64-linux`, and the tools of `purposes`,
/// whatever the steps reported.
fn verify(cx: &Context, purposes: &[Purpose]) -> Result<()> {
    let version = nix_command::require(&cx.launcher)?;
    emulation::require(cx, version, "aarch64-linux", &[])?;
    let is_missing = |tool: &tools::Tool| !facts::has_program(&cx.launcher, tool.program);
    let missing = tools::required_tools(purposes).filter(is_missing).map(|tool| tool.program);
    let missing = missing.collect::<Vec<_>>();
    if !missing.is_empty() {
        bail!(
            Other, "these programs are missing after setup: {}", missing.join(", ");
            hint: "install them by the package manager of this machine"
        );
    }
    Ok(())
}
