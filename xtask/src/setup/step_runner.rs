//! Runs a step of the plan.

use anyhow::{Context as _, Result};

use super::nix;
use super::packages::{self, Conflict};
use super::plan::Step;
use super::root::{Privilege, RootCommand, run_streaming};
use crate::bail;
use crate::base::process::Launcher;
use crate::base::{Context, Event, RunningPhase, project, state};

/// The arguments of cargo for the version of deploy-rs that this tool supports; older ones fail with Nix 2.33.
const DEPLOY_RS: &[&str] = &["deploy-rs", "--version", "1.0.0", "--locked"];

/// Runs `step`, with `privilege` for the commands that need root.
pub fn run(cx: &Context, step: &Step, privilege: Privilege) -> Result<()> {
    state::check_folder(&project::tools_dir())?;
    match step {
        Step::InstallNix { suites } => nix::install(cx, suites, &project::tools_dir().join("nix")),
        Step::ConfigureNix => nix::configure(&project::tools_dir().join("nix")),
        Step::InstallDeployRs => install_deploy_rs(cx),
        Step::Packages(names) => install_packages(cx, names, privilege),
        Step::MountBinfmt | Step::RegisterQemu | Step::AddExtraPlatform { .. } | Step::CreateStore { .. } => {
            run_root_commands(cx, step, privilege)
        }
    }
}

fn run_root_commands(cx: &Context, step: &Step, privilege: Privilege) -> Result<()> {
    step.root_commands().iter().try_for_each(|command| run_root_command(cx, command, privilege))
}

fn run_root_command(cx: &Context, command: &RootCommand, privilege: Privilege) -> Result<()> {
    in_phase(cx, &command.to_string(), |on_line| command.run(&cx.launcher, privilege, on_line))
}

/// Installs the packages `names`, but leaves out those for which apt would remove packages of the machine.
fn install_packages(cx: &Context, names: &[&str], privilege: Privilege) -> Result<()> {
    run_root_command(cx, &packages::update(), privilege)?;
    let conflicts = packages::conflicts(&cx.launcher, names);
    for Conflict { package, removed } in &conflicts {
        let text = format!("{package} was not installed: apt would remove {} for it", removed.join(", "));
        let hint = format!("`sudo apt-get install {package}` shows what it changes, and asks");
        cx.reporter.report(&Event::warning_with_hint(text, hint));
    }
    let is_left_out = |name: &str| conflicts.iter().any(|conflict| conflict.package == name);
    let names = names.iter().copied().filter(|name| !is_left_out(name)).collect::<Vec<_>>();
    if names.is_empty() {
        return Ok(());
    }
    run_root_command(cx, &packages::install(&names), privilege)
}

/// Compiles deploy-rs into the folder of the project's tools.
///
/// # Errors
/// `Refused` on a machine without cargo: an installed tool runs there too.
fn install_deploy_rs(cx: &Context) -> Result<()> {
    require_cargo(&cx.launcher)?;
    let root = project::tools_dir().display().to_string();
    let args = [&["install"], DEPLOY_RS, &["--root", &root]].concat();
    let args = args.into_iter().map(str::to_owned).collect::<Vec<_>>();
    in_phase(cx, "cargo install deploy-rs", |on_line| run_streaming(&cx.launcher, "cargo", &args, on_line))
}

fn require_cargo(launcher: &Launcher) -> Result<()> {
    if launcher.which("cargo").is_none() {
        bail!(
            Refused(MissingProgram), "compiling deploy-rs needs cargo, and there is no cargo on PATH";
            hint: "install Rust from https://rustup.rs, or put the program `deploy` of deploy-rs on PATH"
        );
    }
    Ok(())
}

/// Runs `work` as a phase that shows the last line of the output. `work` runs a command, which errors call `command`,
/// and passes each line of its output to the function that `work` gets.
fn in_phase(
    cx: &Context,
    command: &str,
    work: impl FnOnce(&mut dyn FnMut(&str)) -> Result<()>,
) -> Result<()> {
    let phase = RunningPhase::begin(cx.reporter.as_ref(), "setup");
    work(&mut |line| {
        cx.reporter.report(&Event::Progress { done: 0, total: None, detail: Some(line.to_owned()) });
    })
    .with_context(|| format!("running {command}"))?;
    phase.end(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::with_hint;

    #[test]
    fn deploy_rs_is_compiled_only_where_cargo_is() {
        let error = require_cargo(&Launcher::new("/").with_env("PATH", "/no/such/folder")).unwrap_err();
        assert_eq!(
            with_hint(&error),
            "compiling deploy-rs needs cargo, and there is no cargo on PATH; install Rust from https://rustup.rs, or put the \
             program `deploy` of deploy-rs on PATH"
        );
        require_cargo(&Launcher::new("/")).unwrap();
    }
}
