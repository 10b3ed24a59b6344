//! What the flake says about a host: its deploy-rs node.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::{Overrides, Trust, sudo, trust};
use crate::base::Context;
use crate::base::process::Launcher;
use crate::deploy::target::{Connection, Pin, Target};
use crate::nix::StorePath;
use crate::{bail, failure, identity};

/// A node with merged settings, as deploy-rs reads it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    hostname: String,
    profiles: Vec<String>,
    path: Option<String>,
    drv_path: Option<String>,
    platform: Option<String>,
    profile_path: Option<String>,
    ssh_opts: Vec<String>,
    ssh_user: Option<String>,
    user: Option<String>,
    sudo: Option<String>,
    temp_path: Option<String>,
    remote_build: Option<bool>,
    fast_connection: Option<bool>,
    interactive_sudo: Option<bool>,
    confirm_timeout: Option<u64>,
    activation_timeout: Option<u64>,
    pinned: Value,
}

impl Node {
    /// Combines the node with the command line and with the NixOS system of the same name.
    ///
    /// # Errors
    /// `Refused` for a node that could not be verified afterwards: one without a profile `system` of root, or with a
    /// path that is known only after the build. `Refused` also without a hostname, which deploy-rs requires, and for
    /// unsafe values that would reach ssh.
    pub fn target(
        self,
        cx: &Context,
        host: &str,
        system: Option<StorePath>,
        over: &Overrides,
        trust: &Trust,
    ) -> Result<Target> {
        if self.hostname.is_empty() {
            bail!(Refused, "deploy.nodes.{host} has no `hostname`"; hint: "set it to the address of the host");
        }
        let link = self.profile_link().map_err(|why| unverifiable(host, &why))?;
        let path = self.profile_path().map_err(|why| unverifiable(host, why))?;
        let ssh_user = over.ssh_user.clone().or_else(|| self.ssh_user.clone());
        let ssh_user = ssh_user.map_or_else(|| own_user(&cx.launcher), Ok)?;
        let hostname = over.hostname.as_ref().unwrap_or(&self.hostname);
        trust::check_names(host, hostname, &ssh_user)?;
        if over.ssh_opts.is_none() {
            trust.check(host, &self.ssh_opts)?;
        }
        let sudo = self.sudo_prefix(host, &ssh_user)?;
        Ok(Target {
            host: host.to_owned(),
            sudo,
            connection: Connection {
                destination: format!("{ssh_user}@{hostname}"),
                options: over.ssh_opts.clone().unwrap_or(self.ssh_opts),
                pin: identity::known(&cx.state, host)?.map(|file| Pin { file, alias: host.to_owned() }),
            },
            temp_path: self.temp_path.unwrap_or_else(|| "/tmp".into()),
            confirm_timeout: over.confirm_timeout.or(self.confirm_timeout).unwrap_or(30),
            activation_timeout: over.activation_timeout.or(self.activation_timeout).unwrap_or(240),
            fast_connection: over.fast_connection.or(self.fast_connection).unwrap_or(false),
            interactive_sudo: over.interactive_sudo.or(self.interactive_sudo).unwrap_or(false),
            builds_here: !(self.remote_build == Some(true) || over.remote_build),
            platform: self.platform,
            other_profiles: self.profiles.into_iter().filter(|name| name != "system").collect(),
            pinned: self.pinned,
            derivation: self.drv_path,
            system,
            link,
            path,
        })
    }

    /// The store path of the profile, or why the profile cannot be verified.
    fn profile_path(&self) -> Result<StorePath, &'static str> {
        if self.drv_path.as_deref().is_some_and(|path| !is_derivation(path)) {
            return Err("its drvPath is not a derivation in the store");
        }
        let path = self.path.as_deref().filter(|path| trust::is_store_path(path));
        path.and_then(StorePath::containing).ok_or("its path is not known before it is built")
    }

    /// The prefix of a command that must run as the profile's user; `None` if that is `ssh_user`.
    fn sudo_prefix(&self, host: &str, ssh_user: &str) -> Result<Option<String>> {
        let Some(user) = self.user.as_ref().filter(|user| *user != ssh_user) else { return Ok(None) };
        let sudo = self.sudo.as_deref().unwrap_or("sudo -u");
        sudo::check(host, sudo, user)?;
        Ok(Some(format!("{sudo} {user}")))
    }

    /// The link on the host to the current generation of the profile, or why the profile cannot be verified.
    fn profile_link(&self) -> Result<String, String> {
        if !self.profiles.iter().any(|name| name == "system") {
            let others = self.profiles.join(", ");
            return Err(if others.is_empty() {
                "it has none".into()
            } else {
                format!("there is only: {others}")
            });
        }
        let user = self.user.as_ref().or(self.ssh_user.as_ref());
        match (&self.profile_path, user.map(String::as_str)) {
            (Some(link), _) => Ok(link.clone()),
            (None, Some("root")) => Ok("/nix/var/nix/profiles/system".into()),
            (None, other) => Err(format!("its user must be root and is {}", other.unwrap_or("not set"))),
        }
    }
}

fn is_derivation(path: &str) -> bool {
    trust::is_store_path(path)
        && StorePath::containing(path)
            .is_some_and(|it| it.as_str() == path && path.strip_suffix(".drv").is_some())
}

fn unverifiable(host: &str, why: &str) -> anyhow::Error {
    failure!(Refused, "deploy.nodes.{host} needs a profile 'system' that can be verified on the host: {why}")
}

/// The local user, as whom deploy-rs logs in if the node names no user.
fn own_user(launcher: &Launcher) -> Result<String> {
    Ok(launcher.read("id", &["-un"])?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_of_the_profile() {
        let node = |profiles: &str, user: Option<&str>, path: Option<&str>| Node {
            profiles: profiles.split_whitespace().map(str::to_owned).collect(),
            user: user.map(str::to_owned),
            profile_path: path.map(str::to_owned),
            ..Node::default()
        };
        for (node, expected) in [
            (node("system", Some("root"), None), Ok("/nix/var/nix/profiles/system")),
            (node("home system", Some("pi"), Some("/p")), Ok("/p")),
            (node("system", Some("pi"), None), Err("its user must be root and is pi")),
            (node("system", None, None), Err("its user must be root and is not set")),
            (node("home", Some("root"), None), Err("there is only: home")),
            (node("", Some("root"), None), Err("it has none")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(node.profile_link(), expected, "{node:?}");
        }
    }
}
