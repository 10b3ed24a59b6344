//! The flake that deploy-rs is given: the node as it was evaluated, so that deploy-rs evaluates no more than that, and
//! does what was shown whatever becomes of the flake meanwhile.

use std::path::Path;

use anyhow::{Context, Result};

use super::Target;
use crate::{nix, percent, state};

/// The flake; what it says is beside it.
const FLAKE: &str = "{ outputs = _: { deploy = builtins.fromJSON (builtins.readFile ./deploy.json); }; }\n";

impl Target {
    /// Writes the flake into the project's state folder `state` and returns the reference to it.
    pub fn freeze(&self, state: &Path) -> Result<String> {
        let folder = state.join("deploy").join(percent::encode(self.host.as_bytes(), b""));
        let doing = || format!("writing {}", folder.display());
        state::private_folder(&folder).with_context(doing)?;
        for (name, text) in [("flake.nix", FLAKE), ("deploy.json", &self.frozen.to_string())] {
            state::write(&folder.join(name), text.as_bytes()).with_context(doing)?;
        }
        Ok(nix::path_flake(&folder))
    }
}
