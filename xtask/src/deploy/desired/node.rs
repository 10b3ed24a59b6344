//! The deploy-rs node of a host, as the flake has it.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::pinned_flake::pin_hostname;
use super::{NodeSettings, Overrides, Purpose, Trust, login_names, sudo, trust};
use crate::base::process::Launcher;
use crate::base::{Context, HostName};
use crate::deploy::release::ReleaseMark;
use crate::deploy::target::{Connection, Pin, Target};
use crate::nix::StorePath;
use crate::{bail, failure};

/// The most bytes of a host name (RFC 1035 allows 253) or a user.
const MAX_NAME: usize = 255;
/// The most bytes of a path, or of words before a command.
const MAX_PATH: usize = 4096;
/// The most bytes of all ssh options together; Linux accepts 128 KiB in one argument or variable.
const MAX_SSH_OPTIONS: usize = 64 << 10;

/// A node with merged settings, as deploy-rs reads it: one of the flake, or one made of a NixOS configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    /// The attribute path of the NixOS configuration of which the node is made; `None` for a node of the flake.
    pub(super) configuration: Option<String>,
    /// The names of `deployment.keys` of that configuration.
    pub(super) uncopied: Vec<String>,
    pub(super) hostname: String,
    pub(super) profiles: Vec<String>,
    pub(super) path: Option<String>,
    pub(super) drv_path: Option<String>,
    pub(super) platform: Option<String>,
    pub(super) profile_path: Option<String>,
    pub(super) ssh_opts: Vec<String>,
    pub(super) ssh_user: Option<String>,
    pub(super) user: Option<String>,
    pub(super) sudo: Option<String>,
    pub(super) temp_path: Option<String>,
    pub(super) remote_build: Option<bool>,
    pub(super) fast_connection: Option<bool>,
    pub(super) interactive_sudo: Option<bool>,
    pub(super) auto_rollback: Option<bool>,
    pub(super) magic_rollback: Option<bool>,
    pub(super) confirm_timeout: Option<u64>,
    pub(super) activation_timeout: Option<u64>,
    pub(super) pinned: Value,
    #[serde(skip)]
    pub(super) release: Option<ReleaseMark>,
}

impl Node {
    /// Combines the node with the command line and with the NixOS system of the same name.
    ///
    /// # Errors
    /// `Refused` for a node that could not be verified afterwards: one without a profile `system` of root, or with a
    /// path that is known only after the build. `Refused` also without a hostname, which deploy-rs requires, for
    /// values that are too long, and for unsafe ones that would reach ssh or sudo.
    pub fn target(
        self,
        cx: &Context,
        host: &HostName,
        system: Option<StorePath>,
        overrides: &Overrides,
        trust: &Trust,
    ) -> Result<Target> {
        self.check_sizes(host)?;
        let (hostname, ssh_user) = self.hostname_and_user(cx, host, overrides)?;
        let link = self.profile_link().map_err(|why| self.unverifiable_refusal(host, &why))?;
        let path = self.profile_path().map_err(|why| self.unverifiable_refusal(host, why))?;
        if overrides.ssh_opts.is_none() {
            trust.check(host, &self.ssh_opts)?;
        }
        Ok(Target {
            host: host.to_owned(),
            settings: NodeSettings::of(&self),
            sudo: self.sudo_prefix(host, &ssh_user)?,
            release: self.release,
            connection: Connection {
                destination: format!("{ssh_user}@{hostname}"),
                options: overrides.ssh_opts.clone().unwrap_or(self.ssh_opts),
                pin: if overrides.purpose == Purpose::Host { Pin::find(cx, host)? } else { None },
            },
            temp_path: self.temp_path.unwrap_or_else(|| "/tmp".into()),
            confirm_timeout: overrides.confirm_timeout.or(self.confirm_timeout).unwrap_or(30),
            activation_timeout: overrides.activation_timeout.or(self.activation_timeout).unwrap_or(240),
            goes_back: overrides.goes_back(self.auto_rollback, self.magic_rollback),
            fast_connection: overrides.fast_connection.or(self.fast_connection).unwrap_or(false),
            interactive_sudo: overrides.interactive_sudo.or(self.interactive_sudo).unwrap_or(false),
            builds_here: self.remote_build != Some(true) && !overrides.remote_build,
            platform: self.platform,
            other_profiles: self.profiles.into_iter().filter(|name| name != "system").collect(),
            pinned: pin_hostname(self.pinned, host, &hostname),
            configuration: self.configuration,
            uncopied_keys: self.uncopied,
            derivation: self.drv_path,
            system,
            revision: None,
            link,
            path,
        })
    }

    /// The hostname, and the user who logs in.
    ///
    /// # Errors
    /// `Refused` without a hostname, which deploy-rs requires, and for a hostname or a user in unsafe characters.
    fn hostname_and_user(
        &self,
        cx: &Context,
        host: &HostName,
        overrides: &Overrides,
    ) -> Result<(String, String)> {
        let hostname = overrides.hostname.clone().unwrap_or_else(|| self.hostname.clone());
        if hostname.is_empty() {
            let option = self.option("hostname");
            bail!(
                Refused, "{} has no `{option}`", self.name(host);
                hint: "{}", overrides.address_remedies(&format!("set `{option}` to the address of the host"))
            );
        }
        let named_user = overrides.ssh_user.as_ref().or(self.ssh_user.as_ref());
        let user = named_user.map_or_else(|| own_user(&cx.launcher), |user| Ok(user.clone()))?;
        // The subject and the verb of a refusal.
        let source = |option: &str, overriding: Option<&String>| match overriding {
            Some(_) => format!("the command line has the {option}"),
            None => format!("{} has the {}", self.name(host), self.option(option)),
        };
        login_names::check_hostname(&source("hostname", overrides.hostname.as_ref()), &hostname)?;
        login_names::check_user(&source("sshUser", overrides.ssh_user.as_ref()), &user)?;
        Ok((hostname, user))
    }

    /// What the flake calls the node, or the configuration of which it is made.
    fn name(&self, host: &HostName) -> String {
        match (&self.release, &self.configuration) {
            (Some(_), _) => format!("{host} of the release"),
            (_, Some(configuration)) => configuration.clone(),
            (_, None) => format!("deploy.nodes.{host}"),
        }
    }

    /// What the flake calls the option `name` of the node.
    fn option<'a>(&self, name: &'a str) -> &'a str {
        match (&self.configuration, name) {
            (Some(_), "hostname") => "deployment.targetHost",
            (Some(_), "sshUser") => "deployment.targetUser",
            _ => name,
        }
    }

    /// Refuses options that would not fit into the arguments of a program.
    ///
    /// # Errors
    /// `Refused` for an option that exceeds its limit.
    fn check_sizes(&self, host: &HostName) -> Result<()> {
        let ssh_options = self.ssh_opts.iter().map(String::len).sum();
        let length = |option: &Option<String>| option.as_ref().map_or(0, String::len);
        for (option, length, limit) in [
            ("hostname", self.hostname.len(), MAX_NAME),
            ("sshOpts", ssh_options, MAX_SSH_OPTIONS),
            ("sshUser", length(&self.ssh_user), MAX_NAME),
            ("user", length(&self.user), MAX_NAME),
            ("sudo", length(&self.sudo), MAX_PATH),
            ("tempPath", length(&self.temp_path), MAX_PATH),
            ("profilePath", length(&self.profile_path), MAX_PATH),
            ("path", length(&self.path), MAX_PATH),
            ("path.drvPath", length(&self.drv_path), MAX_PATH),
            ("path.system", length(&self.platform), MAX_NAME),
        ] {
            if length > limit {
                bail!(
                    Refused, "`{}` of {} has {length} bytes, and at most {limit} are accepted",
                    self.option(option), self.name(host);
                    hint: "shorten `{}` in the flake", self.option(option)
                );
            }
        }
        Ok(())
    }

    /// The refusal of a node whose profile cannot be verified on the host, for the reason `why`.
    fn unverifiable_refusal(&self, host: &HostName, why: &str) -> anyhow::Error {
        let name = self.name(host);
        failure!(Refused, "{name} needs a profile 'system' that can be verified on the host: {why}")
    }

    /// The store path of the profile.
    ///
    /// # Errors
    /// Why the profile cannot be verified.
    fn profile_path(&self) -> Result<StorePath, &'static str> {
        if self.drv_path.as_deref().is_some_and(|path| StorePath::of_derivation(path).is_none()) {
            return Err("its drvPath is not a derivation in the store");
        }
        let path = self.path.as_deref().filter(|path| trust::is_store_path(path));
        path.and_then(StorePath::containing).ok_or("its path is not known before it is built")
    }

    /// The prefix of a command that must run as the profile's user; `None` if that is `ssh_user`, as it is where the
    /// node names no user.
    ///
    /// # Errors
    /// Those of [`sudo::check`].
    fn sudo_prefix(&self, host: &HostName, ssh_user: &str) -> Result<Option<String>> {
        let Some(user) = self.user.as_ref().filter(|user| *user != ssh_user) else { return Ok(None) };
        let sudo = self.sudo.as_deref().unwrap_or("sudo -u");
        sudo::check(host, sudo, user)?;
        Ok(Some(format!("{sudo} {user}")))
    }

    /// The link on the host to the current generation of the profile.
    ///
    /// # Errors
    /// Why the profile cannot be verified.
    fn profile_link(&self) -> Result<String, String> {
        if !self.profiles.iter().any(|name| name == "system") {
            return Err(match self.profiles.join(", ").as_str() {
                "" => "there is none".into(),
                others => format!("there is only: {others}"),
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

/// The local user, as whom deploy-rs logs in if the node names no user.
fn own_user(launcher: &Launcher) -> Result<String> {
    Ok(launcher.read("id", &["-un"])?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    #[test]
    fn sizes_of_options_are_bounded() {
        let long = |length: usize| Some("x".repeat(length));
        let options = |count: usize| vec!["-oPort=22".to_owned(); count];
        for (node, option) in [
            (Node { hostname: "x".repeat(2 << 20), ..Node::default() }, "hostname"),
            (Node { ssh_user: long(2 << 20), ..Node::default() }, "sshUser"),
            (Node { user: long(MAX_NAME + 1), ..Node::default() }, "user"),
            (Node { sudo: long(MAX_PATH + 1), ..Node::default() }, "sudo"),
            (Node { ssh_opts: options(1 << 20), ..Node::default() }, "sshOpts"),
        ] {
            let error = node.check_sizes(&"pi".into()).unwrap_err();
            let begin = format!("`{option}` of deploy.nodes.pi has ");
            assert!(error.to_string().starts_with(&begin), "{error}");
            assert_eq!(kind(&error), ExitKind::Refused);
        }
        let fits = Node { hostname: "x".repeat(MAX_NAME), ssh_opts: options(100), ..Node::default() };
        assert!(fits.check_sizes(&"pi".into()).is_ok());
    }

    #[test]
    fn a_made_node_is_named_by_its_configuration() {
        let configuration = Some("nixosConfigurations.pi".to_owned());
        let error =
            Node { configuration, ..Node::default() }.unverifiable_refusal(&"pi".into(), "there is none");
        assert!(error.to_string().starts_with("nixosConfigurations.pi needs a profile"), "{error}");
    }

    #[test]
    fn the_link_is_that_of_a_system_profile_whose_place_is_known() {
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
            (node("", Some("root"), None), Err("there is none")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(node.profile_link(), expected, "{node:?}");
        }
    }
}
