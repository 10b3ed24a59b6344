//! Carrying out the steps.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::nix;
use super::plan::Step;
use super::root::{Privilege, run_followed};
use crate::base::{Context, Event, project, state};

/// The deploy-rs that the tool was written for; older ones break on Nix 2.33.
const DEPLOY: [&str; 4] = ["deploy-rs", "--version", "1.0.0", "--locked"];

pub fn carry_out(cx: &Context, step: &Step, by: Privilege) -> Result<()> {
    state::check_folder(&project::tools_dir())?;
    match step {
        Step::InstallNix { suites } => nix::install(cx, suites, &project::tools_dir().join("nix")),
        Step::ConfigureNix => nix::configure(&project::tools_dir().join("nix")),
        Step::InstallDeploy => install_deploy(cx),
        Step::MakeStore { user } => as_root(cx, step, by, user),
        Step::Packages(_) | Step::MountBinfmt | Step::RegisterQemu | Step::Promise { .. } => {
            as_root(cx, step, by, "")
        }
    }
}

fn as_root(cx: &Context, step: &Step, by: Privilege, user: &str) -> Result<()> {
    step.as_root(user).iter().try_for_each(|command| {
        followed(cx, &command.to_string(), |on_line| command.run(&cx.launcher, by, on_line))
    })
}

fn install_deploy(cx: &Context) -> Result<()> {
    let root = project::tools_dir().display().to_string();
    let args = [&["install"], &DEPLOY[..], &["--root", &root]].concat();
    let args = args.into_iter().map(str::to_owned).collect::<Vec<_>>();
    followed(cx, "cargo install deploy-rs", |on_line| run_followed(&cx.launcher, "cargo", &args, on_line))
}

/// Runs `work` as a phase whose detail is the line it said last.
fn followed(cx: &Context, name: &str, work: impl FnOnce(&mut dyn FnMut(&str)) -> Result<()>) -> Result<()> {
    let start = Instant::now();
    cx.reporter.report(&Event::Phase { name: "setup".into(), total: None, bytes: false });
    work(&mut |line| {
        cx.reporter.report(&Event::Progress { done: 0, total: None, detail: Some(line.to_owned()) });
    })
    .with_context(|| format!("running {name}"))?;
    let seconds = start.elapsed().as_secs_f64();
    cx.reporter.report(&Event::Done { name: "setup".into(), amount: 1, bytes: false, seconds });
    Ok(())
}
