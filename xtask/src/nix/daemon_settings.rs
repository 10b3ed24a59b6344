//! The settings that count where the nix-daemon of another user builds: the daemon reads neither the files nor the
//! variables of this user, and heeds most settings of this user only if it trusts the user.

use serde_json::Value;

use super::{Config, FEATURES, Version, build_sandbox};
use crate::base::process::Launcher;

impl Config {
    /// These settings of the user as builds have them. Where the daemon does not say whom it trusts, they count as
    /// they are.
    pub(super) fn of_builds(self, launcher: &Launcher, version: Version) -> Self {
        if !build_sandbox::has_foreign_daemon(launcher) {
            return self;
        }
        let of_machine =
            launcher.clone().with_env("NIX_USER_CONF_FILES", "/dev/null").with_env("NIX_CONFIG", "");
        match Self::load_as_user(&of_machine, version, &[]) {
            Ok(of_daemon) if self.differs_for_builds(&of_daemon) && is_trusted(launcher) == Some(false) => {
                self.restricted_by(of_daemon)
            }
            _ => self,
        }
    }

    /// Whether one of the settings differs that the daemon heeds only of trusted users.
    fn differs_for_builds(&self, other: &Self) -> bool {
        let settings =
            |config: &Self| (config.extra_platforms.clone(), config.sandbox, config.sandbox_paths.clone());
        settings(self) != settings(other) || self.builders != other.builders
    }

    /// The settings of a user whom the daemon, which has the settings `of_daemon`, does not trust. Such a user may turn
    /// remote builders off, and no more.
    fn restricted_by(self, of_daemon: Self) -> Self {
        let (ignored_platforms, builders) = (self.extra_platforms, self.builders);
        Self {
            ignored_platforms: ignored_platforms
                .into_iter()
                .filter(|system| !of_daemon.extra_platforms.contains(system))
                .collect(),
            extra_platforms: of_daemon.extra_platforms,
            builders: if builders.is_empty() { builders } else { of_daemon.builders },
            sandbox: of_daemon.sandbox,
            sandbox_paths: of_daemon.sandbox_paths,
            ..self
        }
    }
}

/// Whether the daemon trusts this user; `None` where it does not say.
fn is_trusted(launcher: &Launcher) -> Option<bool> {
    // All versions of Nix know `ping`, the older name of `info`.
    let json = launcher.read("nix", &[&FEATURES[..], &["store", "ping", "--json"]].concat()).ok()?;
    parse_trusted(&json)
}

/// Parses the output of `nix store info --json`: `trusted` is 0 or 1, a truth value in some versions, and null or
/// missing where the store does not say.
fn parse_trusted(json: &str) -> Option<bool> {
    let info = serde_json::from_str::<Value>(json).ok()?;
    info["trusted"].as_bool().or_else(|| info["trusted"].as_u64().map(|number| number != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_trust_is_read() {
        for (json, expected) in [
            (r#"{"trusted":1,"url":"daemon","version":"2.26.3"}"#, Some(true)),
            (r#"{"trusted":0}"#, Some(false)),
            (r#"{"trusted":true}"#, Some(true)),
            (r#"{"trusted":false}"#, Some(false)),
            (r#"{"trusted":null}"#, None),
            (r#"{"url":"daemon"}"#, None),
            ("", None),
        ] {
            assert_eq!(parse_trusted(json), expected, "{json}");
        }
    }

    #[test]
    fn an_untrusted_user_has_the_platforms_of_the_daemon() {
        let config = |platforms: &[&str], builders: &str, sandbox| Config {
            extra_platforms: platforms.iter().map(ToString::to_string).collect(),
            builders: builders.into(),
            max_jobs: 3,
            sandbox,
            ..Config::default()
        };
        let of_daemon = || config(&["i686-linux"], "ssh://a", true);
        let found = config(&["aarch64-linux", "i686-linux"], "ssh://mine", false).restricted_by(of_daemon());
        let expected = Config {
            ignored_platforms: vec!["aarch64-linux".into()],
            ..config(&["i686-linux"], "ssh://a", true)
        };
        assert_eq!(found, expected);
        assert_eq!(config(&[], "", true).restricted_by(of_daemon()).builders, "");
        assert!(!of_daemon().differs_for_builds(&of_daemon()));
        assert!(of_daemon().differs_for_builds(&config(&["i686-linux"], "ssh://a", false)));
    }
}
