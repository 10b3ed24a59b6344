//! The flake settings that the user allowed earlier: Nix applies them whatever its configuration says.

use std::path::PathBuf;

use serde_json::Value;

use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;
use crate::nix::user_settings::variable;

/// The file of the settings in the user's folder for data.
const FILE: &str = "nix/trusted-settings.json";

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
/// [`HARMLESS_SETTINGS`]; then there is a warning, too. Otherwise the same launcher.
pub fn hide_harmful(launcher: Launcher, warnings: &mut Vec<String>) -> Launcher {
    let Some(file) = file(&launcher) else { return launcher };
    let text = bounded::read(&file, MAX_BYTES, Links::Follow).ok();
    let trusted = text.and_then(|text| serde_json::from_slice::<Value>(&text).ok()).unwrap_or_default();
    let Some(reason) = find_harm(&trusted) else { return launcher };
    warnings.push(format!("the flake settings that {} allows are ignored: {reason}", file.display()));
    // Newer versions of Nix have a variable of their own.
    launcher.with_env("XDG_DATA_HOME", "/dev/null").with_env("NIX_DATA_HOME", "/dev/null")
}

/// The file of the user's trusted settings; `None` where the file does not exist.
fn file(launcher: &Launcher) -> Option<PathBuf> {
    let folder = match variable(launcher, "XDG_DATA_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(variable(launcher, "HOME")?).join(".local/share"),
    };
    Some(folder.join(FILE)).filter(|file| file.exists())
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
    fn fuzz() {
        let sample = r#"{"extra-substituters":{"https://c":true},"sandbox":{"false":true}}"#;
        crate::base::fuzz::check_text(&[sample], |text| {
            find_harm(&serde_json::from_str(text).unwrap_or_default())
        });
    }
}
