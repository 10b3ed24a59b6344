//! What to do by hand on a system that `setup` does not change.

use super::distribution::Distribution;
use super::plan::Step;

/// The advice for `distribution`, or nothing where the steps can be carried out.
pub fn for_system(distribution: &Distribution, steps: &[Step]) -> Option<String> {
    match distribution {
        Distribution::Debian | Distribution::Ubuntu => None,
        Distribution::NixOs => Some(NIXOS.to_owned()),
        Distribution::Other(name) => {
            let lines = steps.iter().map(|step| format!("  - {step}")).collect::<Vec<_>>().join("\n");
            Some(format!(
                "setup knows Debian, Ubuntu and NixOS, and this is {name}; still to be done by hand:\n{lines}"
            ))
        }
    }
}

const NIXOS: &str = "a NixOS machine is set up by its own configuration; add to it\n\n  \
    boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];\n  \
    nix.settings.experimental-features = [ \"nix-command\" \"flakes\" ];\n\n\
    switch to it with nixos-rebuild, and work in the shell that has the other programs:\n\n  nix develop";
