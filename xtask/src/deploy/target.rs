//! The host of a deploy, and the system that it is to run.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use super::desired::NodeSettings;
use super::release::ReleaseMark;
use crate::base::{Context, FlakeRef, HostName, split_destination};
use crate::identity;
use crate::nix::{Installable, Revision, StorePath};

/// How ssh reaches the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `USER@HOSTNAME`.
    pub destination: String,
    /// The ssh options of the node, or those of the command line, which replace them.
    pub options: Vec<String>,
    /// The host key, if this project knows it.
    pub pin: Option<Pin>,
}

impl Connection {
    /// The user who logs in: root where the destination names none.
    pub fn user(&self) -> &str {
        split_destination(&self.destination).0.unwrap_or("root")
    }

    /// The hostname or the address of the host.
    pub fn hostname(&self) -> &str {
        split_destination(&self.destination).1
    }
}

/// The host key that this project knows. No other key is accepted, whatever the user's own `known_hosts` has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The project's `known_hosts` file.
    pub file: PathBuf,
    /// The name of the host in that file, independent of its current address.
    pub alias: String,
}

impl Pin {
    /// The key of `host` that the project knows, or that is published beside the flake.
    ///
    /// # Errors
    /// `HostKey` where these two are not the same.
    pub fn find(cx: &Context, host: &HostName) -> Result<Option<Self>> {
        let file = identity::pinned_file(&cx.state, &cx.flake, host)?;
        Ok(file.map(|file| Self { file, alias: host.to_string() }))
    }
}

/// When the host goes back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoesBack {
    /// Where an activation fails (`autoRollback`).
    pub after_failure: bool,
    /// Where nobody confirms an activation (`magicRollback`).
    pub without_confirmation: bool,
}

/// A host, how to reach it, and the system that it is to run. Timeouts are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: HostName,
    /// The release that names the profile, which was built elsewhere and is only fetched; `None` for a profile of the
    /// flake.
    pub release: Option<ReleaseMark>,
    /// The settings of the node, before those of the command line.
    pub settings: NodeSettings,
    pub connection: Connection,
    /// The prefix of a command that must run as the user of the profile; `None` if ssh logs in as that user.
    pub sudo: Option<String>,
    /// The folder on the host in which the folder for deploy-rs is made.
    pub temp_path: String,
    pub confirm_timeout: u64,
    pub activation_timeout: u64,
    pub goes_back: GoesBack,
    /// Whether everything is copied from this machine. Otherwise the host substitutes what its caches have.
    pub fast_connection: bool,
    /// Whether deploy-rs asks the user for the sudo password.
    pub interactive_sudo: bool,
    /// Whether this machine builds the profile, rather than the host.
    pub builds_here: bool,
    /// The system double of the profile, such as `aarch64-linux`, if the flake names it.
    pub platform: Option<String>,
    /// The profiles of the node other than `system`.
    pub other_profiles: Vec<String>,
    /// The link on the host to the current generation of the profile.
    pub link: String,
    /// The desired profile.
    pub path: StorePath,
    /// The `.drv` of the profile in the store, if the flake names it.
    pub derivation: Option<String>,
    /// The flake output `deploy`, reduced to this profile; null if unknown.
    pub pinned: Value,
    /// The attribute path of the NixOS configuration of which the profile is made; `None` for a node of the flake.
    pub configuration: Option<String>,
    /// The names of `deployment.keys` of that configuration: colmena copies these files, and deploy-rs does not.
    pub uncopied_keys: Vec<String>,
    /// The desired NixOS system, if the flake has one with the name of the host.
    pub system: Option<StorePath>,
    /// The git revision of the flake before its evaluation, if known.
    pub revision: Option<Revision>,
}

impl Target {
    /// The installable of the profile: its derivation as it was evaluated, or else the attribute of the flake.
    ///
    /// # Errors
    /// Those of [`Installable::attribute`].
    pub fn installable(&self, flake: &FlakeRef) -> Result<Installable> {
        let path = ["deploy", "nodes", &self.host, "profiles", "system", "path"];
        match &self.derivation {
            Some(derivation) => Ok(Installable::derivation(derivation).with_name(self.profile_name())),
            None => Installable::attribute(flake, &path),
        }
    }

    /// The name of the profile in messages: that of its node, or of the configuration of which it is made.
    pub fn profile_name(&self) -> String {
        match (&self.release, &self.configuration) {
            (Some(_), _) => "the profile of the release".to_owned(),
            (_, Some(configuration)) => format!("the profile made of {configuration}"),
            (_, None) => format!("deploy.nodes.{}", self.host),
        }
    }

    /// The name of the system in messages: that of its NixOS configuration.
    pub fn system_name(&self) -> String {
        match (&self.release, &self.configuration) {
            (Some(_), _) => "the system of the release".to_owned(),
            (_, Some(configuration)) => configuration.clone(),
            (_, None) => format!("nixosConfigurations.{}", self.host),
        }
    }

    /// The path by which plans and receipts name what the host is to run: the NixOS system, or the profile if the flake
    /// has no system.
    pub fn named_path(&self) -> &StorePath {
        self.system.as_ref().unwrap_or(&self.path)
    }

    /// What precedes a command on the host that must run as the user of the profile: `sudo` and a space, or nothing.
    pub fn sudo_prefix(&self) -> String {
        self.sudo.as_ref().map(|sudo| format!("{sudo} ")).unwrap_or_default()
    }

    /// The link on the host whose target is compared with [`Self::desired_path`].
    pub fn running_link(&self) -> &str {
        if self.system.is_some() { "/run/current-system" } else { &self.link }
    }

    /// The path that is compared with what the host runs: the desired system, or the desired profile if the flake has
    /// no NixOS system or the local store lacks that system.
    pub fn desired_path(&self) -> &StorePath {
        self.system.as_ref().filter(|system| system.exists()).unwrap_or(&self.path)
    }
}
