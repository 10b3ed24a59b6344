//! The folder on the host in which deploy-rs keeps its canary and cancel files: one of its own for each deploy.
//!
//! In the shared folder for temporary files their names can be foreseen. There everybody could hold a deploy up, and what
//! an earlier deploy left would deceive deploy-rs.

use anyhow::{Context as _, Result};

use super::ssh::Remote;
use crate::base::failure::ExitKind;
use crate::base::shell;
use crate::deploy::target::Target;

/// How its name begins; what follows cannot be foreseen.
const NAME: &str = "xtask-deploy.";

/// A folder on the host that only the user of the profile can enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workdir {
    pub path: String,
    /// What stands before commands that work in it.
    sudo: String,
}

impl Workdir {
    /// Makes one. `sudo` says whether a command of the profile's user takes no password on the host; otherwise it belongs
    /// to the user who logs in.
    pub fn make(remote: &Remote, target: &Target, sudo: Option<bool>) -> Result<Self> {
        let sudo = target.sudo.as_ref().filter(|_| sudo == Some(true));
        let sudo = sudo.map(|sudo| format!("{sudo} ")).unwrap_or_default();
        let template = format!("{}/{NAME}XXXXXXXXXX", target.temp_path.trim_end_matches('/'));
        let doing = || format!("making a folder for deploy-rs in {} on {}", target.temp_path, target.host);
        let said = remote.run(&format!("{sudo}mktemp -d {}", shell::quote(&template))).with_context(doing)?;
        let path = said.trim_end_matches('\n').to_owned();
        if is_of(&template, &path) {
            return Ok(Self { path, sudo });
        }
        Err(ExitKind::Undecided.error("the host answers with something else")).with_context(doing)
    }

    /// The command that lists what is in it: something, as long as a deploy waits to be confirmed.
    pub fn list(&self) -> String {
        format!("{}ls -A {}", self.sudo, shell::quote(&self.path))
    }

    /// The command that removes it once it is empty.
    pub fn remove_empty(&self) -> String {
        format!("{}rmdir {}", self.sudo, shell::quote(&self.path))
    }

    /// Removes it with what is in it. No deploy is at work any more. That this fails does no harm.
    pub fn remove(&self, remote: &Remote) {
        let _ = remote.attempt(&format!("{}rm -rf -- {}", self.sudo, shell::quote(&self.path)));
    }
}

/// Whether `path` is one that `mktemp` makes of `template`.
fn is_of(template: &str, path: &str) -> bool {
    let fixed = template.trim_end_matches('X');
    let random = path.strip_prefix(fixed);
    random.is_some_and(|random| {
        random.len() == template.len() - fixed.len()
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_that_mktemp_made_is_taken() {
        let template = "/tmp/xtask-deploy.XXXXXXXXXX";
        for (path, expected) in [
            ("/tmp/xtask-deploy.a1B2c3D4e5", true),
            ("/tmp/xtask-deploy.", false),
            ("/tmp/xtask-deploy.a1B2c3D4e5/..", false),
            ("/tmp/xtask-deploy.a1B2c3/4e5", false),
            ("/etc", false),
            ("/tmp/xtask-deploy.a1B2c3D4e5\n/etc", false),
        ] {
            assert_eq!(is_of(template, path), expected, "{path}");
        }
        crate::base::fuzz::check_text(&["/tmp/xtask-deploy.a1B2c3D4e5"], |path| is_of(template, path));
    }
}
