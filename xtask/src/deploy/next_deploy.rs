//! Whether the new system takes the next deploy: its Nix has to trust the login user, or the key that signs.

use std::path::Path;

use anyhow::Result;

use super::options::DeployOptions;
use super::plan::Plan;
use crate::base::bounded::{self, Links};
use crate::base::{Context, Event};
use crate::nix;

/// The file with the settings of Nix, in a NixOS system.
const NIX_CONF: &str = "etc/nix/nix.conf";
/// The maximum size of that file, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Warns of a new system whose Nix would refuse the next deploy, which is the one that could mend that. Says nothing of
/// a system without settings of Nix, and of a user who belongs to a trusted group perhaps.
///
/// # Errors
/// Those of Nix on this machine.
pub fn warn_of_refused_next_deploy(cx: &Context, options: &DeployOptions, plan: &Plan) -> Result<()> {
    let target = &plan.target;
    let user = target.connection.user();
    let system = target.desired_path();
    if user == "root" || plan.already_done().is_some() || !target.builds_here || !system.exists() {
        return Ok(());
    }
    let Some(settings) = Settings::read(Path::new(system.as_str())) else { return Ok(()) };
    let key = options.cache_key.as_ref();
    let takes_signatures = match key {
        Some(key) => settings.trusted_keys.iter().any(|known| known == key.public()),
        None => nix::is_signed_or_content_addressed(&cx.launcher, &target.path)?,
    };
    if takes_signatures || settings.trusts(user) {
        return Ok(());
    }
    let signed = key.map(|key| format!(" nor the cache key {}", key.name())).unwrap_or_default();
    cx.reporter.report(&Event::warning_with_hint(
        format!(
            "the new system of {} would refuse the next deploy: its Nix trusts neither {user}{signed}",
            target.host
        ),
        "add the key that `cargo xtask identity cache-key` prints to `nix.settings.trusted-public-keys` of the \
         configuration, or the user to `nix.settings.trusted-users`",
    ));
    Ok(())
}

/// The settings of Nix that decide whether it takes a copy.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settings {
    trusted_users: Vec<String>,
    trusted_keys: Vec<String>,
}

impl Settings {
    /// Reads the settings of `system`; `None` where it has none.
    fn read(system: &Path) -> Option<Self> {
        let bytes = bounded::read(&system.join(NIX_CONF), MAX_SIZE, Links::Follow).ok()?;
        Some(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// Parses a nix.conf: the last value of a setting counts, and those of `extra-` are added.
    fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((name, value)) = line.split_once('=') else { continue };
            // A key ends in `=`, which is a part of the value.
            let words = value.split_whitespace().map(str::to_owned);
            match name.trim() {
                "trusted-users" => settings.trusted_users = words.collect(),
                "extra-trusted-users" => settings.trusted_users.extend(words),
                "trusted-public-keys" => settings.trusted_keys = words.collect(),
                "extra-trusted-public-keys" => settings.trusted_keys.extend(words),
                _ => {}
            }
        }
        settings
    }

    /// Whether Nix may trust `user`: who is in a group is not in the settings.
    fn trusts(&self, user: &str) -> bool {
        self.trusted_users.iter().any(|trusted| trusted == user || trusted == "*" || trusted.starts_with('@'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_extra_ones_are_added() {
        let settings = Settings::parse(
            "# comment\ntrusted-users = root anna\ntrusted-users = root # later\nextra-trusted-users = ben\n\
             trusted-public-keys = a-1:AA= b-1:BB=\nsubstituters = x\nno line\n",
        );
        assert_eq!(settings.trusted_users, ["root", "ben"]);
        assert_eq!(settings.trusted_keys, ["a-1:AA=", "b-1:BB="]);
        assert!(settings.trusts("ben") && !settings.trusts("anna"));
        for users in ["@wheel", "*"] {
            assert!(Settings::parse(&format!("trusted-users = root {users}")).trusts("anna"), "{users}");
        }
        assert_eq!(Settings::read(Path::new("/no/such/system")), None);
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["trusted-users = root\nextra-trusted-public-keys = a:b="], |text| {
            Settings::parse(text)
        });
    }
}
