//! The folder on the host in which deploy-rs keeps its canary and cancel files: a new one for each deploy.
//!
//! In the shared folder for temporary files, their names would be predictable: any user could block a deploy, and
//! files of an earlier deploy would deceive deploy-rs.

use anyhow::{Context as _, Result};

use super::ssh::Remote;
use crate::base::shell;
use crate::deploy::target::Target;
use crate::failure;

/// The beginning of the name of the folder; the rest is random.
const PREFIX: &str = "xtask-deploy.";
/// The number of random characters in the name of the folder.
const RANDOM_LENGTH: usize = 10;
/// The age in minutes from which a folder counts as left by a run that was killed. No activation takes a day.
const MAX_AGE: u32 = 24 * 60;

/// A folder on the host that only its owner can enter: see [`Workdir::make`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workdir {
    pub path: String,
    /// The prefix of commands that work in the folder.
    sudo: String,
}

impl Workdir {
    /// Makes the folder, and removes those that killed runs left a day ago. The new folder belongs to the user of the
    /// profile if sudo needs no password (see [`super::State::passwordless_sudo`]), and otherwise to the login user.
    pub fn make(remote: &Remote, target: &Target, passwordless_sudo: Option<bool>) -> Result<Self> {
        let sudo = target.sudo.as_ref().filter(|_| passwordless_sudo == Some(true));
        let prefix = sudo.map(|sudo| format!("{sudo} ")).unwrap_or_default();
        let parent = target.temp_path.trim_end_matches('/');
        let template = format!("{parent}/{PREFIX}{}", "X".repeat(RANDOM_LENGTH));
        let remove = remove_old_command(parent, owner(target, sudo));
        let command = format!("{prefix}{remove}; {prefix}mktemp -d {}", shell::quote(&template));
        let doing = || format!("making a folder for deploy-rs in {} on {}", target.temp_path, target.host);
        let output = remote.run("`mktemp`", &command).with_context(doing)?;
        let path = output.trim_end_matches('\n').to_owned();
        if matches_template(&template, &path) {
            return Ok(Self { path, sudo: prefix });
        }
        Err(failure!(Undecided, "`mktemp` on the host printed something else than the path of a new folder"))
            .with_context(doing)
    }

    /// The command that lists the folder, which is empty unless a deploy waits to be confirmed.
    pub fn list_command(&self) -> String {
        format!("{}ls -A {}", self.sudo, shell::quote(&self.path))
    }

    /// The command that removes the folder if it is empty.
    pub fn remove_empty_command(&self) -> String {
        format!("{}rmdir {}", self.sudo, shell::quote(&self.path))
    }

    /// Removes the folder with its contents, once the deploy that used it is over. A failure is ignored: a later deploy
    /// removes the folder.
    pub fn remove(&self, remote: &Remote) {
        let _ = remote.try_run(&format!("{}rm -rf -- {}", self.sudo, shell::quote(&self.path)));
    }
}

/// The user who makes the folder: that of the `sudo` prefix, or the login user.
fn owner<'a>(target: &'a Target, sudo: Option<&'a String>) -> &'a str {
    sudo.and_then(|sudo| sudo.rsplit(' ').next()).unwrap_or_else(|| target.connection.user())
}

/// The command that removes the folders in `parent` that killed runs left. It follows no link in `parent` and touches
/// only folders of `owner`, which nobody else can exchange in a shared folder. On a host without `find` it removes
/// nothing.
fn remove_old_command(parent: &str, owner: &str) -> String {
    let name = format!("{PREFIX}{}", "?".repeat(RANDOM_LENGTH));
    // With the slash, a link to the shared folder is entered.
    let parent = shell::quote(&format!("{parent}/"));
    let [name, owner] = [name.as_str(), owner].map(shell::quote);
    let age = format!("-mmin +{MAX_AGE}");
    format!("find {parent} -maxdepth 1 -type d -name {name} -user {owner} {age} -exec rm -rf -- '{{}}' +")
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
