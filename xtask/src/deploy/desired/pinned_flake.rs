//! The pinned flake, which deploy-rs is given: the node as this tool evaluated it.
//!
//! deploy-rs has little to evaluate, and deploys what the plan showed even if the flake changes meanwhile.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::base::{FlakeRef, HostName, percent_encoding, state};
use crate::deploy::target::Target;

/// The text of the pinned flake; its data are beside it, in `deploy.json`.
const FLAKE: &str = "{ outputs = _: { deploy = builtins.fromJSON (builtins.readFile ./deploy.json); }; }\n";

impl Target {
    /// Writes the pinned flake into the state folder `state` and returns its flake reference. `workdir` is the folder
    /// in which deploy-rs works on the host, once it is known.
    pub fn write_pinned_flake(&self, state: &Path, workdir: Option<&str>) -> Result<FlakeRef> {
        let folder = state.join("deploy").join(percent_encoding::encode(self.host.as_bytes(), b""));
        let doing = || format!("writing {}", folder.display());
        state::create_private_folder(&folder).with_context(doing)?;
        for (name, text) in [("flake.nix", FLAKE), ("deploy.json", &self.pinned_json(workdir).to_string())] {
            state::write(&folder.join(name), text.as_bytes()).with_context(doing)?;
        }
        Ok(FlakeRef::with_all_files(&folder))
    }

    /// The node as data for the pinned flake; with `workdir` as `tempPath`, once that is known.
    fn pinned_json(&self, workdir: Option<&str>) -> Value {
        let mut pinned = self.pinned.clone();
        let node = pinned
            .get_mut("nodes")
            .and_then(|nodes| nodes.get_mut(self.host.as_str()))
            .and_then(Value::as_object_mut);
        if let (Some(node), Some(workdir)) = (node, workdir) {
            node.insert("tempPath".into(), workdir.into());
            // The setting of a profile would override that of the node.
            let profiles = node.get_mut("profiles").and_then(Value::as_object_mut).into_iter().flatten();
            for profile in profiles.filter_map(|(_, profile)| profile.as_object_mut()) {
                profile.remove("tempPath");
            }
        }
        pinned
    }
}

/// Sets the address of the host in `pinned`: deploy-rs requires one in the flake even if the command line names
/// another.
pub fn pin_hostname(mut pinned: Value, host: &HostName, hostname: &str) -> Value {
    let node = pinned.get_mut("nodes").and_then(|nodes| nodes.get_mut(host.as_str()));
    if let Some(node) = node.and_then(Value::as_object_mut) {
        node.insert("hostname".into(), hostname.into());
    }
    pinned
}
