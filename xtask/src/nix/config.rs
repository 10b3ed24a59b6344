//! The settings of Nix that decide what can be built here.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{FEATURES, System, Version};
use crate::base::process::{Launcher, ShownPath};

/// The settings of `nix config show --json` that concern platforms, builders, caches and the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub system: System,
    pub extra_platforms: Vec<System>,
    /// What only this user's own settings list in `extra-platforms`, and the daemon ignores.
    pub ignored_platforms: Vec<System>,
    /// The setting `builders` as it is; `@FILE` names a machines file, which may be missing.
    pub builders: String,
    /// How many builds run on this machine at once; with 0, only remote builders build.
    pub max_jobs: u64,
    /// What this machine has for builds that need it (`system-features`); `None` where Nix does not say.
    pub system_features: Option<Vec<String>>,
    /// The binary caches, separated by spaces.
    pub substituters: String,
    /// Whether Nix signs the store paths that it builds on this machine (`secret-key-files`).
    pub signs: bool,
    /// Whether builds run in a sandbox (`true` or `relaxed`).
    pub sandbox: bool,
    /// The paths of this machine that builds in the sandbox see.
    pub sandbox_paths: Vec<ShownPath>,
}

impl Config {
    /// Reads the settings from Nix. Those of `options` that decide where builds run change the settings. Where the
    /// daemon of another user builds, these are the settings that it heeds.
    pub fn load(launcher: &Launcher, version: Version, options: &[String]) -> Result<Self> {
        Ok(Self::load_as_user(launcher, version, options)?.of_builds(launcher, version))
    }

    /// Reads the settings as Nix has them for this user.
    pub(super) fn load_as_user(launcher: &Launcher, version: Version, options: &[String]) -> Result<Self> {
        let renamed = Version { major: 2, minor: 20 };
        let command: &[&str] = if version >= renamed { &["config", "show"] } else { &["show-config"] };
        let args = [&FEATURES[..], command, &["--json"], &location_options(options)].concat();
        Self::parse(&launcher.read("nix", &args)?)
    }

    /// Parses the output `json` of `nix config show --json`; a missing setting counts as empty, except `max-jobs` (1)
    /// and `sandbox` (true).
    pub fn parse(json: &str) -> Result<Self> {
        let settings: Value = serde_json::from_str(json).context("reading the settings of nix")?;
        let value = |name: &str| &settings[name]["value"];
        let text = |name: &str| value(name).as_str().unwrap_or_default().to_owned();
        let platforms = value("extra-platforms").as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(Self {
            system: text("system"),
            extra_platforms: platforms.map(str::to_owned).collect(),
            ignored_platforms: Vec::new(),
            builders: text("builders"),
            max_jobs: value("max-jobs").as_u64().unwrap_or(1),
            system_features: value("system-features")
                .is_array()
                .then(|| split_words(value("system-features"))),
            substituters: split_words(value("substituters")).join(" "),
            signs: !split_words(value("secret-key-files")).is_empty(),
            sandbox: *value("sandbox") != false && *value("sandbox") != "false",
            sandbox_paths: paths_in_sandbox(value("sandbox-paths")),
        })
    }

    /// Whether the sandbox hides `path` from builds.
    pub fn hides(&self, path: &str) -> bool {
        self.sandbox && !self.sandbox_paths.iter().any(|shown| Path::new(path).starts_with(&shown.inside))
    }

    /// Whether this machine has all of `features`.
    pub fn has_features(&self, features: &BTreeSet<String>) -> bool {
        self.system_features.as_ref().is_none_or(|own| features.iter().all(|feature| own.contains(feature)))
    }

    /// Whether Nix would build for `system` on this machine. Nix does not check whether the kernel runs such programs.
    pub fn accepts(&self, system: &str) -> bool {
        self.system == system || self.extra_platforms.iter().any(|platform| platform == system)
    }
}

/// The options for Nix that decide where builds run. Each has a value, and all but `-j` are settings too; the setting
/// `extra-NAME` adds to the setting `NAME`, also where that is `extra-platforms`.
const LOCATION_OPTIONS: &[&str] =
    &["-j", "--max-jobs", "--builders", "--extra-platforms", "--extra-extra-platforms"];

/// Those of `options` that decide where builds run: the command that prints the settings does not accept all others.
fn location_options(options: &[String]) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut rest = options.iter().map(String::as_str);
    while let Some(option) = rest.next() {
        if option == "--option" {
            let (name, value) = (rest.next(), rest.next());
            if let (Some(name), Some(value)) = (name, value)
                && LOCATION_OPTIONS.iter().any(|known| known.strip_prefix("--") == Some(name))
            {
                kept.extend([option, name, value]);
            }
        } else if LOCATION_OPTIONS.contains(&option) {
            kept.push(option);
            kept.extend(rest.next());
        } else if option.len() > "-j".len() && option.starts_with("-j") {
            kept.push(option);
        }
    }
    kept
}

/// The words of a setting, which is a list or a text.
fn split_words(setting: &Value) -> Vec<String> {
    let list = setting.as_array().into_iter().flatten().filter_map(Value::as_str);
    list.chain(setting.as_str()).flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// The paths of the setting `sandbox-paths`. The setting is a list of `SOURCE` or `INSIDE=SOURCE`, with a `?` behind
/// the paths that may be missing; in newer versions an object with the names `INSIDE`.
fn paths_in_sandbox(setting: &Value) -> Vec<ShownPath> {
    let shown = |inside: &str, source: &str| ShownPath { inside: inside.into(), source: source.into() };
    let list = setting.as_array().into_iter().flatten().filter_map(Value::as_str).map(|entry| {
        let path = entry.strip_suffix('?').unwrap_or(entry);
        let (inside, source) = path.split_once('=').unwrap_or((path, path));
        shown(inside, source)
    });
    let object = setting.as_object().into_iter().flatten().map(|(inside, value)| {
        let inside = inside.trim_end_matches('?');
        shown(inside, value["source"].as_str().or(value.as_str()).unwrap_or(inside))
    });
    list.chain(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::recorded;

    fn parse(json: &str) -> Config {
        Config::parse(json).unwrap()
    }

    #[test]
    fn settings_are_parsed() {
        let config = parse(
            r#"{"system":{"value":"x86_64-linux"},"extra-platforms":{"value":["aarch64-linux"]},
            "builders":{"value":"@/etc/nix/machines"},"sandbox":{"value":"false"}}"#,
        );
        assert!(config.accepts("aarch64-linux") && config.accepts("x86_64-linux"));
        assert!(!config.accepts("riscv64-linux"));
        assert_eq!((config.builders.as_str(), config.sandbox), ("@/etc/nix/machines", false));
        assert!(Config::parse("{").is_err());
    }

    #[test]
    fn the_features_of_this_machine_are_read() {
        let own = parse(r#"{"system-features":{"value":["kvm","big-parallel"]}}"#);
        let features = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        for (words, expected) in [(&[][..], true), (&["kvm"], true), (&["kvm", "gpu"], false)] {
            assert_eq!(own.has_features(&features(words)), expected, "{words:?}");
        }
        assert!(parse("{}").has_features(&features(&["gpu"])), "a Nix that does not say");
    }

    #[test]
    fn the_settings_of_each_version_are_parsed() {
        let expected = Config {
            system: "x86_64-linux".to_owned(),
            extra_platforms: vec!["aarch64-linux".to_owned()],
            ignored_platforms: Vec::new(),
            builders: "@/etc/nix/machines".to_owned(),
            max_jobs: 1,
            system_features: None,
            substituters: "https://cache.nixos.org/".to_owned(),
            signs: false,
            sandbox: true,
            sandbox_paths: Vec::new(),
        };
        for recorded in recorded::ALL {
            let mut found = parse(recorded.config);
            let shown = std::mem::take(&mut found.sandbox_paths);
            let inside = shown.iter().map(|path| path.inside.as_path()).collect::<Vec<_>>();
            assert_eq!(
                (found, inside),
                (expected.clone(), vec![Path::new("/bin/sh")]),
                "{}",
                recorded.release
            );
        }
    }

    #[test]
    fn jobs_caches_and_signing_are_read_or_have_defaults() {
        let config = parse(
            r#"{"max-jobs":{"value":0},"substituters":{"value":["https://a","https://b"]},
            "secret-key-files":{"value":["/k"]}}"#,
        );
        let values = |config: &Config| (config.max_jobs, config.substituters.clone(), config.signs);
        assert_eq!(values(&config), (0, "https://a https://b".to_owned(), true));
        assert_eq!(values(&parse("{}")), (1, String::new(), false));
    }

    #[test]
    fn the_sandbox_hides_other_paths() {
        let config = parse(
            r#"{"sandbox":{"value":true},"sandbox-paths":{"value":["/bin/sh=/nix/store/b","/run/binfmt?"]}}"#,
        );
        assert!(config.hides("/usr/bin/qemu"));
        assert!(!config.hides("/run/binfmt/q") && !config.hides("/bin/sh"));
    }

    #[test]
    fn options_that_decide_where_builds_run_are_kept() {
        for (options, expected) in [
            ("-L --max-jobs 0 --keep-going", "--max-jobs 0"),
            ("-j4 --offline", "-j4"),
            ("-j 0 --option builders @/m --option cores 1", "-j 0 --option builders @/m"),
            ("--override-input nixpkgs ../nixpkgs --extra-platforms a", "--extra-platforms a"),
            ("--builders", "--builders"),
            ("--option max-jobs", ""),
        ] {
            let options = options.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(location_options(&options).join(" "), expected);
        }
    }

    #[test]
    fn fuzz() {
        let json = r#"{"system":{"value":"x86_64-linux"},"extra-platforms":{"value":["aarch64-linux"]},"builders":{"value":"@/etc/nix/machines"},
            "sandbox":{"value":true},"sandbox-paths":{"value":["/bin/sh=/nix/store/b","/run/binfmt?"]}}"#;
        crate::base::fuzz::check_text(&[json], |text| {
            Config::parse(text)
                .is_ok_and(|config| config.hides("/usr/bin/qemu") && config.accepts("aarch64-linux"))
        });
    }
}
