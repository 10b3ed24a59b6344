//! Nix without the network, for questions that must be quick.

use crate::base::process::Launcher;

/// The settings of Nix's own option `--offline`, which not every command of Nix takes: no substituter is asked, and a
/// flake that was fetched once counts as current. Nix tries to fetch what is missing once, for a second.
const SETTINGS: &str =
    "substitute = false\ntarball-ttl = 4294967295\ndownload-attempts = 1\nconnect-timeout = 1";

/// `launcher`, whose Nix does not use the network. The user's `NIX_CONFIG` stays valid otherwise.
pub fn offline(launcher: &Launcher) -> Launcher {
    let user_config = launcher.env("NIX_CONFIG").unwrap_or_default();
    let config = format!("{}\n{SETTINGS}", user_config.to_string_lossy());
    launcher.clone().with_env("NIX_CONFIG", config.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_the_user_come_first() {
        for (before, expected) in [("cores = 1", format!("cores = 1\n{SETTINGS}")), ("", SETTINGS.to_owned())]
        {
            let launcher = offline(&Launcher::new("/").with_env("NIX_CONFIG", before));
            assert_eq!(launcher.env("NIX_CONFIG").unwrap().to_str(), Some(expected.as_str()));
        }
    }
}
