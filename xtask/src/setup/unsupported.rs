//! Refuses to change systems that `setup` does not support, with the manual steps as the hint.

use anyhow::Result;

use super::distribution::Distribution;
use super::facts::{Facts, Store};
use super::plan::Step;
use crate::bail;

/// Checks that `setup` can run `steps` on this machine.
///
/// # Errors
/// `Refused` for another distribution than Debian and Ubuntu, and for a Nix store of another user: `setup` never takes
/// a store away from its owner.
pub fn check_machine(facts: &Facts, steps: &[Step]) -> Result<()> {
    check_distribution(&facts.distribution, steps)?;
    if !facts.has_nix && facts.store == Store::Foreign {
        bail!(
            Refused, "/nix belongs to another user, and its Nix is too old or not on PATH";
            hint: "put that Nix on PATH, and update it if it is older than 2.18, or run this as the user who owns /nix"
        );
    }
    Ok(())
}

fn check_distribution(distribution: &Distribution, steps: &[Step]) -> Result<()> {
    match distribution {
        Distribution::Debian | Distribution::Ubuntu => Ok(()),
        Distribution::NixOs => {
            bail!(Refused, "setup does not change a NixOS machine"; hint: "{NIXOS_ADVICE}")
        }
        Distribution::Other(name) => {
            let lines = steps.iter().map(|step| format!("  - {step}")).collect::<Vec<_>>().join("\n");
            bail!(
                Refused, "setup changes only Debian and Ubuntu, and this is {name}";
                hint: "do these steps by hand:\n{lines}"
            )
        }
    }
}

/// The manual steps on a NixOS machine.
pub const NIXOS_ADVICE: &str = "add to the configuration of this NixOS machine\n\n  \
    boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];\n  \
    nix.settings.experimental-features = [ \"nix-command\" \"flakes\" ];\n\n\
    switch to it with nixos-rebuild; the other programs are in this shell:\n\n  nix develop";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{hint, with_hint};

    #[test]
    fn unsupported_systems_are_refused_with_the_manual_steps() {
        let check = |distribution| check_distribution(&distribution, &[Step::MountBinfmt]);
        assert!(check(Distribution::Debian).is_ok() && check(Distribution::Ubuntu).is_ok());
        let error = check(Distribution::NixOs).unwrap_err();
        let advice = hint(&error).unwrap();
        assert!(advice.contains("boot.binfmt.emulatedSystems = [ \"aarch64-linux\" ];"));
        assert!(advice.ends_with("nix develop"));
        let fedora = "setup changes only Debian and Ubuntu, and this is Fedora; do these steps by hand:\n  \
            - mount binfmt_misc at /proc/sys/fs/binfmt_misc";
        assert_eq!(with_hint(&check(Distribution::Other("Fedora".into())).unwrap_err()), fedora);
    }
}
