//! The settings of Nix that decide what can be built here.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{FEATURES, System, Version};
use crate::base::process::Launcher;

/// The settings of `nix config show --json` on platforms, builders and the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub system: System,
    pub extra_platforms: Vec<System>,
    /// The raw `builders` setting; `@FILE` names a machines file, which may be absent.
    pub builders: String,
    /// How many builds run here at once; with 0, only remote builders build.
    pub max_jobs: u64,
    /// The binary caches, apart by spaces.
    pub substituters: String,
    /// Whether Nix signs what it builds here (`secret-key-files`).
    pub signs: bool,
    /// Whether builds run in a sandbox (`true` or `relaxed`).
    pub sandbox: bool,
    /// The paths that builds in the sandbox see, as they appear there.
    pub sandbox_paths: Vec<String>,
}

impl Config {
    /// Reads the settings from Nix, which `options` may change. The command had another name before 2.20.
    pub fn load(launcher: &Launcher, version: Version, options: &[String]) -> Result<Self> {
        let renamed = Version { major: 2, minor: 20 };
        let command: &[&str] = if version >= renamed { &["config", "show"] } else { &["show-config"] };
        let args = [&FEATURES[..], command, &["--json"], &deciding(options)].concat();
        Self::parse(&launcher.read("nix", &args)?)
    }

    /// Parses the JSON; a missing setting counts as empty.
    pub fn parse(json: &str) -> Result<Self> {
        let settings: Value = serde_json::from_str(json).context("reading the settings of nix")?;
        let value = |name: &str| settings[name]["value"].clone();
        let text = |name: &str| value(name).as_str().unwrap_or_default().to_owned();
        let platforms = value("extra-platforms");
        let names = platforms.as_array().into_iter().flatten().filter_map(Value::as_str);
        let sandbox = !matches!(value("sandbox"), Value::Bool(false)) && text("sandbox") != "false";
        Ok(Self {
            system: text("system"),
            extra_platforms: names.map(str::to_owned).collect(),
            builders: text("builders"),
            max_jobs: value("max-jobs").as_u64().unwrap_or(1),
            substituters: words(&value("substituters")).join(" "),
            signs: !words(&value("secret-key-files")).is_empty(),
            sandbox,
            sandbox_paths: paths(&value("sandbox-paths")),
        })
    }

    /// Whether the sandbox hides `path` from builds.
    pub fn hides(&self, path: &str) -> bool {
        self.sandbox && !self.sandbox_paths.iter().any(|seen| Path::new(path).starts_with(seen))
    }

    /// Whether Nix would build for `system` on this machine. Nix does not check whether the kernel runs such programs.
    pub fn accepts(&self, system: &str) -> bool {
        self.system == system || self.extra_platforms.iter().any(|platform| platform == system)
    }
}

/// The options for Nix that decide where builds run.
const DECIDING: [&str; 5] =
    ["-j", "--max-jobs", "--builders", "--extra-platforms", "--extra-extra-platforms"];

/// Those of `options` that change where builds run: the command that prints the settings does not accept all others.
fn deciding(options: &[String]) -> Vec<&str> {
    let mut kept = Vec::new();
    let mut rest = options.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if word == "--option" {
            let setting = [rest.next(), rest.next()];
            if let [Some(name), Some(value)] = setting
                && DECIDING.iter().any(|known| known.strip_prefix("--") == Some(name))
            {
                kept.extend([word, name, value]);
            }
        } else if DECIDING.contains(&word) {
            kept.extend([Some(word), rest.next()].into_iter().flatten());
        } else if word.strip_prefix("-j").is_some_and(|jobs| !jobs.is_empty()) {
            kept.push(word);
        }
    }
    kept
}

/// The words of a setting that is a list, or a text of words.
fn words(setting: &Value) -> Vec<String> {
    let list = setting.as_array().into_iter().flatten().filter_map(Value::as_str);
    list.chain(setting.as_str()).flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// The paths in the sandbox. The setting is a list of `PATH` or `INSIDE=PATH`, in newer versions an object with the
/// names `INSIDE`.
fn paths(setting: &Value) -> Vec<String> {
    let list = setting.as_array().into_iter().flatten().filter_map(Value::as_str);
    let names = setting.as_object().into_iter().flat_map(serde_json::Map::keys).map(String::as_str);
    let inside = list.chain(names).map(|path| path.split('=').next().unwrap_or_default());
    inside.map(|path| path.trim_end_matches('?').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        let json = r#"{"system":{"value":"x86_64-linux"},"extra-platforms":{"value":["aarch64-linux"]},
            "builders":{"value":"@/etc/nix/machines"},"sandbox":{"value":"false"}}"#;
        let config = Config::parse(json).unwrap();
        assert!(config.accepts("aarch64-linux") && config.accepts("x86_64-linux"));
        assert!(!config.accepts("riscv64-linux"));
        assert_eq!((config.builders.as_str(), config.sandbox), ("@/etc/nix/machines", false));
        assert!(Config::parse("{").is_err());
        let json = r#"{"max-jobs":{"value":0},"substituters":{"value":["https://a","https://b"]},
            "secret-key-files":{"value":["/k"]}}"#;
        let own = Config::parse(json).unwrap();
        assert_eq!((own.max_jobs, own.substituters.as_str(), own.signs), (0, "https://a https://b", true));
        assert_eq!((config.max_jobs, config.substituters.as_str(), config.signs), (1, "", false));
        let json =
            r#"{"sandbox":{"value":true},"sandbox-paths":{"value":["/bin/sh=/nix/store/b","/run/binfmt?"]}}"#;
        let config = Config::parse(json).unwrap();
        assert!(config.hides("/usr/bin/qemu") && !config.hides("/run/binfmt/q") && !config.hides("/bin/sh"));
    }

    #[test]
    fn options_that_decide_where_builds_run() {
        for (options, expected) in [
            ("-L --max-jobs 0 --keep-going", "--max-jobs 0"),
            ("-j4 --offline", "-j4"),
            ("-j 0 --option builders @/m --option cores 1", "-j 0 --option builders @/m"),
            ("--override-input nixpkgs ../nixpkgs --extra-platforms a", "--extra-platforms a"),
            ("--builders", "--builders"),
            ("--option max-jobs", ""),
        ] {
            let options = options.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(deciding(&options).join(" "), expected);
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
