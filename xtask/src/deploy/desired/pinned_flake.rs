//! The flake that deploy-rs is given: the node as it was evaluated, so that deploy-rs evaluates no more than that, and
//! does what was shown whatever becomes of the flake meanwhile.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::base::{percent_encoding, state};
use crate::deploy::target::Target;
use crate::nix;

/// The flake; what it says is beside it.
const FLAKE: &str = "{ outputs = _: { deploy = builtins.fromJSON (builtins.readFile ./deploy.json); }; }\n";

impl Target {
    /// Writes the flake into the project's state folder `state` and returns the reference to it. On the host deploy-rs
    /// works in the folder `workdir`, once that is known.
    pub fn freeze(&self, state: &Path, workdir: Option<&str>) -> Result<String> {
        let folder = state.join("deploy").join(percent_encoding::encode(self.host.as_bytes(), b""));
        let doing = || format!("writing {}", folder.display());
        state::private_folder(&folder).with_context(doing)?;
        for (name, text) in [("flake.nix", FLAKE), ("deploy.json", &self.pinned_in(workdir).to_string())] {
            state::write(&folder.join(name), text.as_bytes()).with_context(doing)?;
        }
        Ok(nix::path_flake(&folder))
    }

    fn pinned_in(&self, workdir: Option<&str>) -> Value {
        let mut pinned = self.pinned.clone();
        let node = pinned
            .get_mut("nodes")
            .and_then(|nodes| nodes.get_mut(&self.host))
            .and_then(Value::as_object_mut);
        if let (Some(node), Some(workdir)) = (node, workdir) {
            node.insert("tempPath".into(), workdir.into());
            // That of a profile would win.
            let profiles = node.get_mut("profiles").and_then(Value::as_object_mut).into_iter().flatten();
            for profile in profiles.filter_map(|(_, profile)| profile.as_object_mut()) {
                profile.remove("tempPath");
            }
        }
        pinned
    }
}
