//! The folder on the host in which deploy-rs keeps its canary and cancel files: a new one for each deploy.
//!
//! In the shared folder for temporary files, their names would be predictable: any user could block a deploy, and
//! files of an earlier deploy would deceive deploy-rs.

use anyhow::{Context as _, Result};

use super::ssh::Remote;
use crate::base::shell;
use crate::deploy::target::Target;
use crate::failure;

/// The begin of its name; the rest is random.
const PREFIX: &str = "xtask-deploy.";

/// A folder on the host that only the user of the profile can enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workdir {
    pub path: String,
    /// The prefix of commands that work in the folder.
    sudo: String,
}

impl Workdir {
    /// Makes the folder. It belongs to the user of the profile if `sudo` says that sudo needs no password, and
    /// otherwise to the login user.
    pub fn make(remote: &Remote, target: &Target, sudo: Option<bool>) -> Result<Self> {
        let sudo = target.sudo.as_ref().filter(|_| sudo == Some(true));
        let sudo = sudo.map(|sudo| format!("{sudo} ")).unwrap_or_default();
        let template = format!("{}/{PREFIX}XXXXXXXXXX", target.temp_path.trim_end_matches('/'));
        let doing = || format!("making a folder for deploy-rs in {} on {}", target.temp_path, target.host);
        let output =
            remote.run(&format!("{sudo}mktemp -d {}", shell::quote(&template))).with_context(doing)?;
        let path = output.trim_end_matches('\n').to_owned();
        if matches_template(&template, &path) {
            return Ok(Self { path, sudo });
        }
        Err(failure!(Undecided, "`mktemp` on the host did not print such a path")).with_context(doing)
    }

    /// The command that lists the folder: its output is empty unless a deploy waits to be confirmed.
    pub fn list(&self) -> String {
        format!("{}ls -A {}", self.sudo, shell::quote(&self.path))
    }

    /// The command that removes the folder if it is empty.
    pub fn remove_empty(&self) -> String {
        format!("{}rmdir {}", self.sudo, shell::quote(&self.path))
    }

    /// Removes the folder with its contents, when no deploy runs any more. A failure does no harm.
    pub fn remove(&self, remote: &Remote) {
        let _ = remote.try_run(&format!("{}rm -rf -- {}", self.sudo, shell::quote(&self.path)));
    }
}

/// Whether `mktemp` can have made `path` from `template`.
fn matches_template(template: &str, path: &str) -> bool {
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
    fn only_a_path_of_mktemp_is_accepted() {
        let template = "/tmp/xtask-deploy.XXXXXXXXXX";
        for (path, expected) in [
            ("/tmp/xtask-deploy.a1B2c3D4e5", true),
            ("/tmp/xtask-deploy.", false),
            ("/tmp/xtask-deploy.a1B2c3D4e5/..", false),
            ("/tmp/xtask-deploy.a1B2c3/4e5", false),
            ("/etc", false),
            ("/tmp/xtask-deploy.a1B2c3D4e5\n/etc", false),
        ] {
            assert_eq!(matches_template(template, path), expected, "{path}");
        }
        crate::base::fuzz::check_text(&["/tmp/xtask-deploy.a1B2c3D4e5"], |path| {
            matches_template(template, path)
        });
    }
}
