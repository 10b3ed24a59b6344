//! A rollback generation, for the first deploy after a flash.

use anyhow::{Context as _, Result};

use super::ssh::Remote;
use crate::base::shell;
use crate::deploy::target::Target;

/// The script that adds the generation; see the file.
const SCRIPT: &str = include_str!("rollback_generation.sh");

/// Adds to the profile a generation with the system of the current one, to which deploy-rs can roll back.
///
/// # Errors
/// `Undecided` if the script fails on the host; those of ssh.
pub fn add_rollback_generation(remote: &Remote, target: &Target) -> Result<()> {
    let script = shell::quote(SCRIPT);
    let link = shell::quote(&target.link);
    // `rollback-generation` is the `$0` of the script.
    let command = format!("{}sh -c {script} rollback-generation {link}", target.sudo_prefix());
    let doing = || format!("adding a generation to {} that deploy-rs can roll back to", target.host);
    remote.run("the script that adds a generation", &command).map(drop).with_context(doing)
}
