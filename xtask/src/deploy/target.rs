//! The host of a deploy, and what it is meant to run.

use std::path::PathBuf;

use serde_json::Value;

use crate::nix::{self, StorePath};

/// Where the host is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `USER@HOSTNAME`.
    pub destination: String,
    /// The options of ssh that the node asks for.
    pub options: Vec<String>,
    /// The host's key, where this project knows it.
    pub pin: Option<Pin>,
}

/// The host's own key as this project knows it: no other is accepted, whatever the user's own files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The project's file of known hosts.
    pub file: PathBuf,
    /// The name of the host in that file, whatever its address is today.
    pub alias: String,
}

/// A host, how to reach it, and what it is meant to run. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub connection: Connection,
    /// The words in front of a command that must run as the user of the profile, if ssh logs in as another.
    pub sudo: Option<String>,
    /// Where the folder is made on the host in which deploy-rs works.
    pub temp_path: String,
    pub confirm_timeout: u64,
    pub activation_timeout: u64,
    /// Whether all is copied from here; otherwise the host fetches from its caches what they have.
    pub fast_connection: bool,
    /// Whether deploy-rs asks the user for the password of sudo.
    pub interactive_sudo: bool,
    /// Whether this machine builds the profile, and not the host itself.
    pub builds_here: bool,
    /// The system double that the profile is built for, where the flake tells.
    pub platform: Option<String>,
    /// Profiles of the node beside `system`.
    pub other_profiles: Vec<String>,
    /// The link on the host to the current generation of the profile.
    pub link: String,
    /// The profile that is meant.
    pub path: StorePath,
    /// What the profile is built from: a `.drv` in the store.
    pub derivation: Option<String>,
    /// The output `deploy` of the flake with nothing in it but this profile; null where it is not known.
    pub pinned: Value,
    /// The NixOS system that is meant, where the flake has one of the host's name.
    pub system: Option<StorePath>,
}

impl Target {
    /// What is built: the profile, as it was evaluated.
    pub fn installable(&self, flake: &str) -> String {
        let name = || nix::attribute(&self.host).unwrap_or_else(|_| nix::quote(&self.host));
        let by_place = || format!("{flake}#deploy.nodes.{}.profiles.system.path", name());
        self.derivation.as_ref().map_or_else(by_place, |derivation| format!("{derivation}^*"))
    }

    /// The link on the host to what is compared with [`Self::content`], as long as there is one.
    pub fn compared_link(&self) -> &str {
        if self.system.is_some() { "/run/current-system" } else { &self.link }
    }

    /// What is compared with what the host runs: the system, or the profile where it wraps none.
    pub fn content(&self) -> &StorePath {
        self.system.as_ref().filter(|system| system.exists()).unwrap_or(&self.path)
    }
}
