//! The flake settings that the user allowed earlier: Nix applies them whatever its configuration says.

use std::path::PathBuf;

use serde_json::Value;

use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;
use crate::nix::user_settings::variable;

/// The name of the file of the settings.
const FILE: &str = "trusted-settings.json";

/// The most bytes that are read of the file.
const MAX_BYTES: u64 = 1 << 20;

/// Settings that a flake may set once the user has allowed the flake: where to fetch from, and how much at once.
const HARMLESS_SETTINGS: &[&str] = &[
    "connect-timeout",
    "cores",
    "extra-substituters",
    "extra-trusted-public-keys",
    "extra-trusted-substituters",
    "fallback",
    "http-connections",
    "max-jobs",
    "max-substitution-jobs",
    "substituters",
    "trusted-public-keys",
    "trusted-substituters",
];

/// The launcher that hides the user's trusted settings from Nix if they allow a flake other settings than the
/// [`HARMLESS_SETTINGS`], or cannot be read; then there is a warning, too. Otherwise the same launcher.
pub fn hide_harmful(launcher: Launcher, warnings: &mut Vec<String>) -> Launcher {
    for file in files(&launcher) {
        let text = bounded::read(&file, MAX_BYTES, Links::Follow).ok();
        let trusted = text.and_then(|text| serde_json::from_slice::<Value>(&text).ok()).unwrap_or_default();
        if let Some(reason) = find_harm(&trusted) {
            warnings.push(format!("the flake settings that {} allows are ignored: {reason}", file.display()));
            return launcher.with_env("XDG_DATA_HOME", "/dev/null").with_env("NIX_DATA_HOME", "/dev/null");
        }
    }
    launcher
}

/// The files of the user's trusted settings, as newer and as older versions of Nix find them.
fn files(launcher: &Launcher) -> Vec<PathBuf> {
    // Newer versions of Nix have a variable of their own.
    let newer_folder = variable(launcher, "NIX_DATA_HOME").map(PathBuf::from);
    let data_folder = match variable(launcher, "XDG_DATA_HOME") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => variable(launcher, "HOME").map(|home| PathBuf::from(home).join(".local/share")),
    };
    let older_folder = data_folder.map(|folder| folder.join("nix"));
    let files = newer_folder.into_iter().chain(older_folder).map(|folder| folder.join(FILE));
    files.filter(|file| file.exists()).collect()
}

/// The harm in the settings `trusted`: a setting that is not harmless, or settings that cannot be read. `None` where
/// all settings are harmless.
fn find_harm(trusted: &Value) -> Option<String> {
    let Some(settings) = trusted.as_object() else {
        return Some("the file cannot be read".to_owned());
    };
    // Each setting has its values, with the user's answer for each value.
    let is_allowed =
        |answers: &Value| answers.as_object().is_some_and(|answers| answers.values().any(|yes| *yes == true));
    let is_harmful = |name: &str, answers: &Value| is_allowed(answers) && !HARMLESS_SETTINGS.contains(&name);
    let (name, _) = settings.iter().find(|(name, answers)| is_harmful(name, answers))?;
    Some(format!("a flake must not set `{name}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trusted_settings_that_are_harmful_are_found() {
        for (trusted, expected) in [
            (json!({}), None),
            (json!({ "extra-substituters": { "https://c": true }, "sandbox": { "false": false } }), None),
            (json!({ "sandbox": { "false": true } }), Some("a flake must not set `sandbox`")),
            (json!([]), Some("the file cannot be read")),
        ] {
            assert_eq!(find_harm(&trusted).as_deref(), expected, "{trusted}");
        }
    }

    #[test]
    fn harmful_settings_are_hidden_wherever_nix_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let harmful = r#"{"sandbox":{"false":true}}"#;
        for (file, name, folder) in [
            ("home/.local/share/nix", "HOME", "home"),
            ("xdg/nix", "XDG_DATA_HOME", "xdg"),
            ("nix-data", "NIX_DATA_HOME", "nix-data"),
        ] {
            let folder_of_file = dir.path().join(file);
            std::fs::create_dir_all(&folder_of_file).unwrap();
            std::fs::write(folder_of_file.join(FILE), harmful).unwrap();
            let launcher = Launcher::with_clean_env("/").with_env("HOME", &home);
            let mut warnings = Vec::new();
            let hidden = hide_harmful(launcher.with_env(name, dir.path().join(folder)), &mut warnings);
            assert_eq!(hidden.env("NIX_DATA_HOME").unwrap(), "/dev/null", "{name}");
            assert_eq!(warnings.len(), 1, "{name}");
            std::fs::remove_dir_all(folder_of_file).unwrap();
        }
    }

    #[test]
    fn fuzz() {
        let sample = r#"{"extra-substituters":{"https://c":true},"sandbox":{"false":true}}"#;
        crate::base::fuzz::check_text(&[sample], |text| {
            find_harm(&serde_json::from_str(text).unwrap_or_default())
        });
    }
}
