//! Keeps builds from reading the private keys of hosts. The keys belong to the user of the tool, and everybody can read
//! the output of builds. So builds run either as other users, or always in a sandbox.

mod trusted_settings;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::Access;
use serde_json::Value;

use super::FEATURES;
use crate::bail;
use crate::base::Context;
use crate::base::process::Launcher;

/// Settings that are not passed on to Nix: each lets a build out of the sandbox, or lets a flake do so.
const WEAKENING_SETTINGS: &[&str] = &[
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

/// Keeps builds from reading the folder `keys`, whatever the configuration, the environment and the flake say. Warns of
/// the settings that Nix ignores because of this.
///
/// # Errors
/// `Refused` where the configuration shows the folder to builds in the sandbox.
pub fn protect_keys_from_builds(cx: &mut Context, keys: &Path) -> Result<()> {
    if cx.launcher.which("nix").is_none() {
        return Ok(());
    }
    let protection = Protection::new(cx.launcher.clone(), keys)?;
    cx.launcher = protection.launcher.allowing_builds();
    for warning in protection.warnings {
        cx.warn(warning);
    }
    Ok(())
}

/// Protects the keys of hosts in a command that only reads names: Nix may build nothing, so its settings do not matter.
/// [`protect_keys_from_builds`] is for commands that need a build.
pub fn protect_keys_without_builds(cx: &mut Context) {
    let mut warnings = Vec::new();
    let launcher = trusted_settings::hide_harmful(cx.launcher.clone(), &mut warnings);
    cx.launcher = launcher.forbidding_builds();
    for warning in warnings {
        cx.warn(warning);
    }
}

/// The launcher of a Nix whose builds cannot read the keys, and the warnings of settings that this Nix ignores.
struct Protection {
    launcher: Launcher,
    warnings: Vec<String>,
}

impl Protection {
    fn new(launcher: Launcher, keys: &Path) -> Result<Self> {
        let settings = Settings(load_settings(&launcher));
        let mut lines = Vec::new();
        let mut warnings = Vec::new();
        if settings.is_enabled("accept-flake-config") {
            lines.push("accept-flake-config = false".to_owned());
            let text = "`accept-flake-config` is ignored: put the caches of a flake into nix.conf";
            warnings.push(text.to_owned());
        }
        if settings.may_build_as_this_user(NixAccess::of_this_user(&launcher)) {
            settings.refuse_visible_keys(keys)?;
            lines.extend(["sandbox = true", "sandbox-fallback = false"].map(str::to_owned));
            lines.extend(settings.existing_sandbox_paths());
        }
        let launcher = trusted_settings::hide_harmful(with_settings(launcher, &lines), &mut warnings);
        Ok(Self { launcher, warnings })
    }
}

/// The launcher with these `lines` of nix.conf after the settings of the environment.
fn with_settings(launcher: Launcher, lines: &[String]) -> Launcher {
    if lines.is_empty() {
        return launcher;
    }
    let environment = launcher.env("NIX_CONFIG").unwrap_or_default();
    let config = format!("{}\n{}", environment.to_string_lossy(), lines.join("\n"));
    launcher.with_env("NIX_CONFIG", config.trim())
}

/// Refuses arguments of the user that would let a build read the keys.
///
/// # Errors
/// `Refused` for one of the [`WEAKENING_SETTINGS`].
pub fn refuse_weakening_settings(arguments: &[String]) -> Result<()> {
    let weakens = |word: &str| {
        let name = word.trim_start_matches("--");
        let setting = name.strip_prefix("no-").or_else(|| name.strip_prefix("extra-")).unwrap_or(name);
        WEAKENING_SETTINGS.contains(&setting)
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

/// The settings as `nix config show --json` prints them; before Nix 2.20 the command had another name. Settings that
/// cannot be read count as unset.
fn load_settings(launcher: &Launcher) -> Value {
    let load = |command: &[&str]| launcher.read("nix", &[&FEATURES[..], command, &["--json"]].concat());
    let json = load(&["config", "show"]).or_else(|_| load(&["show-config"]));
    json.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// How this user reaches the store of Nix. Together with the settings, this decides as which user Nix builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NixAccess {
    is_root: bool,
    /// Whether this user can read and write the state folder of Nix: then Nix builds without a daemon.
    can_write: bool,
    daemon: Daemon,
}

/// The nix-daemon that listens on its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Daemon {
    /// No daemon listens.
    None,
    /// The daemon belongs to this user.
    Own,
    /// The daemon belongs to another user.
    Foreign,
}

impl NixAccess {
    fn of_this_user(launcher: &Launcher) -> Self {
        let state =
            launcher.env("NIX_STATE_DIR").map_or_else(|| PathBuf::from("/nix/var/nix"), PathBuf::from);
        let uid = rustix::process::geteuid();
        let daemon = match state.join("daemon-socket/socket").metadata() {
            Err(_) => Daemon::None,
            Ok(socket) if socket.uid() == uid.as_raw() => Daemon::Own,
            Ok(_) => Daemon::Foreign,
        };
        let can_write = rustix::fs::access(&state, Access::READ_OK | Access::WRITE_OK).is_ok();
        Self { is_root: uid.is_root(), can_write, daemon }
    }
}

/// Whether the daemon of another user builds for this user, and logs in to remote builders.
pub fn has_foreign_daemon(launcher: &Launcher) -> bool {
    let access = NixAccess::of_this_user(launcher);
    !access.can_write && access.daemon == Daemon::Foreign
}

/// The settings of Nix, as `nix config show --json` prints them.
struct Settings(Value);

impl Settings {
    /// The value of the setting `name`; empty where the setting is unset or no text.
    fn text(&self, name: &str) -> &str {
        self.0[name]["value"].as_str().unwrap_or_default()
    }

    /// Whether the setting `name` is `true`.
    fn is_enabled(&self, name: &str) -> bool {
        self.0[name]["value"] == true || self.text(name) == "true"
    }

    /// Whether this Nix may build as the user who owns the keys. A daemon of another user is assumed to build as yet
    /// other users. `auto-allocate-uids` does not count: Nix allocates users for builds in the sandbox only (2.26).
    fn may_build_as_this_user(&self, access: NixAccess) -> bool {
        let has_build_users = access.is_root && !self.text("build-users-group").is_empty();
        let own_daemon_builds = access.daemon == Daemon::Own && !has_build_users;
        let needs_no_daemon = access.can_write || access.daemon == Daemon::None;
        match self.text("store") {
            "" | "auto" if needs_no_daemon => !has_build_users,
            "" | "auto" | "daemon" => own_daemon_builds,
            store if store.starts_with("unix:") => own_daemon_builds,
            store if store.starts_with("local") || store.starts_with('/') => !has_build_users,
            // Another machine builds.
            _ => false,
        }
    }

    /// Refuses sandbox paths that contain the folder `keys`.
    ///
    /// # Errors
    /// `Refused` for such a path.
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

    /// The line of nix.conf that drops the missing required paths from `sandbox-paths`; `None` where no required path
    /// is missing. Nix starts no build while one is missing, and Debian's Nix requires a missing path by default.
    fn existing_sandbox_paths(&self) -> Option<String> {
        let is_usable = |path: &SandboxPath| path.optional || Path::new(path.source).exists();
        let (usable, missing): (Vec<_>, Vec<_>) = self.sandbox_paths().partition(is_usable);
        if missing.is_empty() {
            return None;
        }
        let entry = |path: &SandboxPath| {
            let mark = if path.optional { "?" } else { "" };
            format!("{}={}{mark}", path.inside, path.source)
        };
        let entries = usable.iter().map(entry).collect::<Vec<_>>();
        Some(format!("sandbox-paths = {}", entries.join(" ")))
    }

    /// The paths in the sandbox. The setting is a list of `SOURCE` or `INSIDE=SOURCE`, with a `?` behind the paths that
    /// may be missing; in newer versions an object with the names `INSIDE`.
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
    /// Whether `source` may be missing.
    optional: bool,
}

/// `path` without symbolic links; the last parts of `path` may be missing.
fn resolve(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests;
