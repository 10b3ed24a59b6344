//! Keeps builds from reading the private keys of hosts. The keys belong to the user of the tool, and everybody can read
//! what builds write. So builds either run as other users, or in a sandbox without exception.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::Access;
use serde_json::Value;

use super::FEATURES;
use crate::bail;
use crate::base::Context;
use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;

/// The file of flake settings that the user allowed earlier; Nix applies them whatever its configuration says.
const TRUSTED_SETTINGS: &str = "nix/trusted-settings.json";

/// The most bytes that are read of the file of trusted settings.
const MAX_TRUSTED_SETTINGS: u64 = 1 << 20;

/// Settings that a flake may set once the user has allowed it: where to fetch from, and how much at once.
const HARMLESS: &[&str] = &[
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

/// Settings that are not passed on to Nix: each lets a build out of the sandbox, or lets a flake do so.
const WEAKENING: &[&str] = &[
    "accept-flake-config",
    "allow-unsafe-native-code-during-evaluation",
    "auto-allocate-uids",
    "build-chroot-dirs",
    "build-use-chroot",
    "build-use-sandbox",
    "build-users-group",
    "plugin-files",
    "sandbox",
    "sandbox-fallback",
    "sandbox-paths",
];

/// Keeps builds from the folder `keys`, whatever the configuration, the environment and the flake say, and warns of
/// settings that Nix therefore ignores.
///
/// # Errors
/// `Refused` where the configuration shows the folder to builds in the sandbox.
pub fn protect_keys_from_builds(cx: &mut Context, keys: &Path) -> Result<()> {
    if cx.launcher.which("nix").is_some() {
        let (launcher, warnings) = protected(cx.launcher.clone(), keys)?;
        cx.launcher = launcher.allowing_builds();
        for warning in warnings {
            cx.warn(warning);
        }
    }
    Ok(())
}

/// Keeps the keys of hosts from a command that only reads names: Nix builds nothing, so its settings are not asked for.
/// [`protect_keys_from_builds`] is for what needs a build.
pub fn protect_keys_without_builds(cx: &mut Context) {
    let (launcher, warning) = hide_trusted_settings(cx.launcher.clone());
    cx.launcher = launcher.forbidding_builds();
    if let Some(text) = warning {
        cx.warn(text);
    }
}

fn protected(launcher: Launcher, keys: &Path) -> Result<(Launcher, Vec<String>)> {
    let settings = Settings(load_settings(&launcher));
    let mut lines = Vec::new();
    let mut warnings = Vec::new();
    if settings.is("accept-flake-config") {
        lines.push("accept-flake-config = false".to_owned());
        warnings.push("`accept-flake-config` is ignored: put the caches of a flake into nix.conf".to_owned());
    }
    if settings.builds_as_this_user(NixAccess::of_this_user(&launcher)) {
        settings.refuse_visible_keys(keys)?;
        lines.extend(["sandbox = true", "sandbox-fallback = false"].map(str::to_owned));
        lines.extend(settings.without_missing_paths());
    }
    let user_config = launcher.env("NIX_CONFIG").unwrap_or_default();
    let config = format!("{}\n{}", user_config.to_string_lossy(), lines.join("\n"));
    let launcher = if lines.is_empty() { launcher } else { launcher.with_env("NIX_CONFIG", config.trim()) };
    let (launcher, warning) = hide_trusted_settings(launcher);
    warnings.extend(warning);
    Ok((launcher, warnings))
}

/// Refuses arguments of the user that would let a build read the keys.
///
/// # Errors
/// `Refused` for such an argument.
pub fn refuse_weakening(arguments: &[String]) -> Result<()> {
    let weakens = |word: &str| {
        let bare = word.trim_start_matches("--");
        let bare = bare.strip_prefix("no-").or_else(|| bare.strip_prefix("extra-")).unwrap_or(bare);
        WEAKENING.contains(&bare)
    };
    let options = arguments.windows(2).filter(|pair| pair[0] == "--option").map(|pair| &pair[1]);
    let flags = arguments.iter().filter(|word| word.starts_with("--"));
    if let Some(word) = flags.chain(options).find(|word| weakens(word)) {
        bail!(
            Refused, "`{word}` is not passed on to nix: a build could read the private keys of hosts";
            hint: "leave `{word}` out, or set it in the nix.conf of a Nix whose daemon has build users"
        );
    }
    Ok(())
}

/// The settings of `nix config show --json`; before 2.20 the command had another name. Settings that cannot be read
/// count as unset.
fn load_settings(launcher: &Launcher) -> Value {
    let load = |words: &[&str]| launcher.read("nix", &[&FEATURES[..], words, &["--json"]].concat());
    let json = load(&["config", "show"]).or_else(|_| load(&["show-config"]));
    json.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// The facts that decide, together with the settings, as which user Nix builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NixAccess {
    is_root: bool,
    /// Whether this user can write the database of the store: Nix then builds by itself.
    writes: bool,
    /// Whether a daemon listens, and whether it is this user's own.
    daemon: Option<bool>,
}

impl NixAccess {
    fn of_this_user(launcher: &Launcher) -> Self {
        let state =
            launcher.env("NIX_STATE_DIR").map_or_else(|| PathBuf::from("/nix/var/nix"), PathBuf::from);
        let uid = rustix::process::geteuid();
        let daemon = state.join("daemon-socket/socket").metadata().ok();
        Self {
            is_root: uid.is_root(),
            writes: rustix::fs::access(&state, Access::READ_OK | Access::WRITE_OK).is_ok(),
            daemon: daemon.map(|socket| socket.uid() == uid.as_raw()),
        }
    }
}

/// Whether the daemon of another user builds for this one, and logs in to remote builders.
pub fn has_foreign_daemon(launcher: &Launcher) -> bool {
    let access = NixAccess::of_this_user(launcher);
    !access.writes && access.daemon == Some(false)
}

/// The settings of Nix, as `nix config show --json` prints them.
struct Settings(Value);

impl Settings {
    fn text(&self, name: &str) -> &str {
        self.0[name]["value"].as_str().unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        self.0[name]["value"] == true || self.text(name) == "true"
    }

    /// Whether this Nix may build as the user who owns the keys. A daemon of root is taken to build as other users.
    /// `auto-allocate-uids` does not count: Nix allocates users for builds in the sandbox only (2.26).
    fn builds_as_this_user(&self, access: NixAccess) -> bool {
        let has_build_users = access.is_root && !self.text("build-users-group").is_empty();
        let by_own_daemon = access.daemon.unwrap_or(false) && !has_build_users;
        match self.text("store") {
            "" | "auto" if access.writes || access.daemon.is_none() => !has_build_users,
            "" | "auto" | "daemon" => by_own_daemon,
            store if store.starts_with("unix:") => by_own_daemon,
            store if store.starts_with("local") || store.starts_with('/') => !has_build_users,
            // Another machine builds.
            _ => false,
        }
    }

    /// Refuses sandbox paths that contain the folder `keys`.
    fn refuse_visible_keys(&self, keys: &Path) -> Result<()> {
        let keys = resolve(keys);
        let contains_keys = |path: &SandboxPath| keys.starts_with(resolve(Path::new(path.source)));
        if let Some(SandboxPath { source, .. }) = self.sandbox_paths().find(contains_keys) {
            bail!(
                Refused,
                "the setting `sandbox-paths` of nix shows {source} to builds, and with it the private keys of hosts in {}",
                keys.display();
                hint: "remove {source} from `sandbox-paths` in nix.conf"
            );
        }
        Ok(())
    }

    /// The line of `sandbox-paths` without paths that do not exist, if there are any. With such a path, no build
    /// starts, and Debian's Nix has one by default.
    fn without_missing_paths(&self) -> Option<String> {
        let exists = |path: &SandboxPath| path.optional || Path::new(path.source).exists();
        let entries = self.sandbox_paths().filter(exists).map(|SandboxPath { inside, source, optional }| {
            format!("{inside}={source}{}", if optional { "?" } else { "" })
        });
        let entries = entries.collect::<Vec<_>>();
        let line = format!("sandbox-paths = {}", entries.join(" "));
        (entries.len() < self.sandbox_paths().count()).then_some(line)
    }

    /// The paths in the sandbox. The setting is a list of `SOURCE` or `INSIDE=SOURCE`, with a `?` behind those that may
    /// be missing; in newer versions an object with the names `INSIDE`.
    fn sandbox_paths(&self) -> impl Iterator<Item = SandboxPath<'_>> {
        let setting = &self.0["sandbox-paths"]["value"];
        let list = setting.as_array().into_iter().flatten().filter_map(Value::as_str).map(|entry| {
            let path = entry.strip_suffix('?').unwrap_or(entry);
            let (inside, source) = path.split_once('=').unwrap_or((path, path));
            SandboxPath { inside, source, optional: path != entry }
        });
        let object = setting.as_object().into_iter().flatten().map(|(inside, value)| SandboxPath {
            inside,
            source: value["source"].as_str().or(value.as_str()).unwrap_or(inside),
            optional: value["optional"] == true,
        });
        list.chain(object)
    }
}

/// The path `source`, which builds in the sandbox see as `inside`.
struct SandboxPath<'a> {
    inside: &'a str,
    source: &'a str,
    optional: bool,
}

/// `path` without links; its end may not exist.
fn resolve(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    let resolved = existing.and_then(|(part, real)| Some(real.join(path.strip_prefix(part).ok()?)));
    resolved.unwrap_or_else(|| path.to_owned())
}

/// Hides the user's trusted settings from Nix if they allow a flake other settings than the [`HARMLESS`] ones. Returns
/// the launcher that hides them, and the warning.
fn hide_trusted_settings(launcher: Launcher) -> (Launcher, Option<String>) {
    let folder = |name: &str| launcher.env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    let Some(file) = data.map(|data| data.join(TRUSTED_SETTINGS)).filter(|file| file.exists()) else {
        return (launcher, None);
    };
    let text = bounded::read(&file, MAX_TRUSTED_SETTINGS, Links::Follow).ok();
    let trusted = text.and_then(|text| serde_json::from_slice::<Value>(&text).ok()).unwrap_or_default();
    let Some(culprit) = find_harmful(&trusted) else { return (launcher, None) };
    let warning = format!("the flake settings that {} allows are ignored: {culprit}", file.display());
    // Newer versions of Nix have a variable of their own.
    (launcher.with_env("XDG_DATA_HOME", "/dev/null").with_env("NIX_DATA_HOME", "/dev/null"), Some(warning))
}

/// What is harmful about the settings `trusted`: one of them, or that they cannot be read. `None` for harmless ones.
fn find_harmful(trusted: &Value) -> Option<String> {
    let Some(settings) = trusted.as_object() else {
        return Some("the file cannot be read".to_owned());
    };
    let is_allowed =
        |values: &Value| values.as_object().is_some_and(|values| values.values().any(|it| *it == true));
    let is_harmful = |name: &str, values: &Value| is_allowed(values) && !HARMLESS.contains(&name);
    let (name, _) = settings.iter().find(|(name, values)| is_harmful(name, values))?;
    Some(format!("a flake must not set `{name}`"))
}

#[cfg(test)]
mod tests;
