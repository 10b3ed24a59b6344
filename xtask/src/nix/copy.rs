//! `nix copy`, reported as it runs.

use std::time::Instant;

use anyhow::Result;

use super::FEATURES;
use super::build_monitor::BuildMonitor;
use super::store_path::StorePath;
use crate::base::process::Launcher;
use crate::base::{Event, Reporter};

/// The store of another machine, and how to reach it.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `USER@HOST`.
    pub login: String,
    /// The options for ssh, which Nix splits at each space; `None` keeps `NIX_SSHOPTS` of the environment.
    pub ssh_options: Option<String>,
    /// More options for `nix copy`.
    pub flags: Vec<&'static str>,
}

/// Copies the closure of `path` to the store of another machine, and reports the progress.
///
/// # Errors
/// `Interrupted` where the user stopped the copy. Store paths that have arrived whole stay, and are not copied again.
pub fn copy(launcher: &Launcher, path: &StorePath, to: &Destination, reporter: &dyn Reporter) -> Result<()> {
    let started = Instant::now();
    reporter.report(&Event::Phase { name: "copy".into(), total: None, bytes: false });
    let store = format!("ssh://{}", to.login);
    let fixed = ["copy", "--log-format", "internal-json", "--to", &store];
    let args = [&FEATURES[..], &fixed, &to.flags, &[path.as_str()]].concat();
    let launcher = to.ssh_options.iter().fold(launcher.clone(), |it, text| it.with_env("NIX_SSHOPTS", text));
    let mut monitor = BuildMonitor::new(reporter);
    let output = launcher.stream("nix", &args, |line| monitor.line(line))?;
    if !output.success() {
        return Err(monitor.into_error(path.as_str()));
    }
    let amount = monitor.done();
    let seconds = started.elapsed().as_secs_f64();
    reporter.report(&Event::Done { name: "copy".into(), amount, bytes: false, seconds });
    Ok(())
}
