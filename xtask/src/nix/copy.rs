//! `nix copy`, followed as it runs.

use std::time::Instant;

use anyhow::Result;

use super::FEATURES;
use super::build_monitor::BuildMonitor;
use super::store_path::StorePath;
use crate::base::process::Launcher;
use crate::base::{Event, Reporter};

/// Where a closure goes, and how.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `USER@HOST`.
    pub login: String,
    /// The options of ssh, which Nix splits at each space; those of the environment where there is none.
    pub ssh_options: Option<String>,
    /// More options for `nix copy`.
    pub flags: Vec<&'static str>,
}

/// Copies `path` and all it needs to the store of another machine, and reports what goes on.
///
/// # Errors
/// `Interrupted` where the user stopped it. What has arrived whole stays there, and is not copied again.
pub fn copy(launcher: &Launcher, path: &StorePath, to: &Destination, reporter: &dyn Reporter) -> Result<()> {
    let started = Instant::now();
    reporter.report(&Event::Phase { name: "copy".into(), total: None, bytes: false });
    let store = format!("ssh://{}", to.login);
    let fixed = ["copy", "--log-format", "internal-json", "--to", &store];
    let args = [&FEATURES[..], &fixed, &to.flags, &[path.as_str()]].concat();
    let launcher = to.ssh_options.iter().fold(launcher.clone(), |it, text| it.with_env("NIX_SSHOPTS", text));
    let mut watch = BuildMonitor::new(reporter);
    let output = launcher.stream("nix", &args, |line| watch.line(line))?;
    if !output.success() {
        return Err(watch.into_error(path.as_str()));
    }
    let (amount, seconds) = (watch.done(), started.elapsed().as_secs_f64());
    reporter.report(&Event::Done { name: "copy".into(), amount, bytes: false, seconds });
    Ok(())
}
