//! What to do by hand on a system that `setup` does not change.

use super::distribution::Distribution;
use super::facts::{Facts, Store};
use super::plan::Step;

/// The advice for this machine, or nothing where the steps can be carried out.
pub fn for_machine(facts: &Facts, steps: &[Step]) -> Option<String> {
    for_system(&facts.distribution, steps)
        .or_else(|| (!facts.nix && facts.store == Store::Foreign).then(|| FOREIGN.to_owned()))
}

/// A store is never taken away from whoever it belongs to.
const FOREIGN: &str = "/nix belongs to another user, and the Nix that it came with is too old or not on PATH; \
    update that Nix to 2.18 or newer, or run this as the user who owns /nix";

fn for_system(distribution: &Distribution, steps: &[Step]) -> Option<String> {
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

/// What belongs into the configuration of a NixOS machine.
pub const NIXOS: &str = "a NixOS machine is set up by its own configuration; add to it\n\n  \
    boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];\n  \
    nix.settings.experimental-features = [ \"nix-command\" \"flakes\" ];\n\n\
    switch to it with nixos-rebuild, and work in the shell that has the other programs:\n\n  nix develop";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_what() {
        let told = |distribution| for_system(&distribution, &[Step::MountBinfmt]).unwrap_or_default();
        assert_eq!((told(Distribution::Debian), told(Distribution::Ubuntu)), Default::default());
        assert!(told(Distribution::NixOs).contains("boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];"));
        assert!(told(Distribution::NixOs).ends_with("nix develop"));
        let fedora = "setup knows Debian, Ubuntu and NixOS, and this is Fedora; still to be done by hand:\n  \
            - mount binfmt_misc at /proc/sys/fs/binfmt_misc";
        assert_eq!(told(Distribution::Other("Fedora".into())), fedora);
    }
}
