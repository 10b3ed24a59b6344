//! A way back for the first deploy after a flash.

use anyhow::{Context as _, Result};

use super::ssh::Remote;
use crate::base::shell;
use crate::deploy::target::Target;

/// See the file.
const SCRIPT: &str = include_str!("rollback_generation.sh");

/// Makes the generation that the host has one that deploy-rs can go back to.
pub fn make_way_back(remote: &Remote, target: &Target) -> Result<()> {
    let sudo = target.sudo.as_ref().map(|sudo| format!("{sudo} ")).unwrap_or_default();
    let command = format!("{sudo}sh -c {} way-back {}", shell::quote(SCRIPT), shell::quote(&target.link));
    let doing = || format!("making what {} has now a generation that deploy-rs can go back to", target.host);
    remote.run(&command).map(drop).with_context(doing)
}
