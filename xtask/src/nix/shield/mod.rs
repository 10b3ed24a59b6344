//! Builds must not read the private keys of hosts, which belong to the user of the tool: what they write is for everybody to
//! read. Either they run as other users, or in a sandbox without exception.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::Access;
use serde_json::Value;

use super::FEATURES;
use crate::base::Context;
use crate::base::bounded::{self, Links};
use crate::base::failure::ExitKind;
use crate::base::process::Launcher;

/// What Nix remembers of the settings of flakes that the user allowed; it takes them whatever its configuration says.
const ANSWERS: &str = "nix/trusted-settings.json";

/// No more is read of them.
const LIMIT: u64 = 1 << 20;

/// Settings that a flake may bring, once the user has allowed it: where to fetch from, and how much at once.
const HARMLESS: [&str; 12] = [
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

/// What is not passed on to Nix: each lets a build out of the sandbox, or lets a flake say that it may get out.
const WEAKENING: [&str; 11] = [
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

/// Keeps builds from the folder `keys`, whatever the configuration, the environment and the flake say, and says what
/// Nix therefore does not take over.
///
/// # Errors
/// Refused where the configuration shows the folder to builds in the sandbox.
pub fn shield(cx: &mut Context, keys: &Path) -> Result<()> {
    if cx.launcher.which("nix").is_some() {
        let (launcher, warnings) = shielded(cx.launcher.clone(), keys)?;
        cx.launcher = launcher;
        for warning in warnings {
            cx.warn(warning);
        }
    }
    Ok(())
}

fn shielded(launcher: Launcher, keys: &Path) -> Result<(Launcher, Vec<String>)> {
    let settings = Settings(ask(&launcher));
    let (mut lines, mut warnings) = (Vec::new(), Vec::new());
    if settings.is("accept-flake-config") {
        lines.push("accept-flake-config = false".to_owned());
        warnings.push(
            "`accept-flake-config` is not taken over: put the caches of a flake into nix.conf".to_owned(),
        );
    }
    if settings.builds_as_this_user(NixAccess::look(&launcher)) {
        settings.refuse_to_show(keys)?;
        lines.extend(["sandbox = true", "sandbox-fallback = false"].map(str::to_owned));
        lines.extend(settings.without_missing_paths());
    }
    let own = launcher.env("NIX_CONFIG").unwrap_or_default();
    let config = format!("{}\n{}", own.to_string_lossy(), lines.join("\n"));
    let launcher = if lines.is_empty() { launcher } else { launcher.with_env("NIX_CONFIG", config.trim()) };
    let (launcher, hidden) = hide_answers(launcher);
    warnings.extend(hidden);
    Ok((launcher, warnings))
}

/// Refuses arguments of the user that would let a build read the keys.
///
/// # Errors
/// Of [`ExitKind::Refused`].
pub fn refuse_weakening(arguments: &[String]) -> Result<()> {
    let name = |word: &str| {
        let bare = word.trim_start_matches("--");
        let bare = bare.strip_prefix("no-").or_else(|| bare.strip_prefix("extra-")).unwrap_or(bare);
        WEAKENING.contains(&bare)
    };
    let behind_option = arguments.windows(2).filter(|pair| pair[0] == "--option").map(|pair| &pair[1]);
    let flags = arguments.iter().filter(|word| word.starts_with("--"));
    let found = flags.chain(behind_option).find(|word| name(word));
    found.map_or(Ok(()), |word| {
        let text = format!(
            "`{word}` is not passed on to nix: a build could read the private keys of hosts; a Nix whose daemon has build \
             users takes it in its own nix.conf"
        );
        Err(ExitKind::Refused.error(text))
    })
}

/// The command had another name before 2.20. What cannot be read counts as unset.
fn ask(launcher: &Launcher) -> Value {
    let ask = |words: &[&str]| launcher.read("nix", &[&FEATURES[..], words, &["--json"]].concat());
    let answer = ask(&["config", "show"]).or_else(|_| ask(&["show-config"]));
    answer.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// What decides, beside the settings, who builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NixAccess {
    is_root: bool,
    /// Whether this user writes to the database of the store: Nix then builds by itself.
    writes: bool,
    /// Whether a daemon listens, and whether it is this user's own.
    daemon: Option<bool>,
}

impl NixAccess {
    fn look(launcher: &Launcher) -> Self {
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

/// The settings as `nix config show --json` has them.
struct Settings(Value);

impl Settings {
    fn text(&self, name: &str) -> &str {
        self.0[name]["value"].as_str().unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        self.0[name]["value"] == true || self.text(name) == "true"
    }

    /// Whether the builds of this Nix may run as the user to whom the keys belong. The daemon of root has build users.
    /// Users that Nix allocates (`auto-allocate-uids`) are there in the sandbox alone (2.26).
    fn builds_as_this_user(&self, machine: NixAccess) -> bool {
        let has_users = machine.is_root && !self.text("build-users-group").is_empty();
        let of_daemon = machine.daemon.unwrap_or(false) && !has_users;
        match self.text("store") {
            "" | "auto" if machine.writes || machine.daemon.is_none() => !has_users,
            "" | "auto" | "daemon" => of_daemon,
            store if store.starts_with("unix:") => of_daemon,
            store if store.starts_with("local") || store.starts_with('/') => !has_users,
            // Another machine builds.
            _ => false,
        }
    }

    /// Refuses paths of the sandbox in which the folder `keys` lies.
    fn refuse_to_show(&self, keys: &Path) -> Result<()> {
        let keys = real(keys);
        match self.sandbox_paths().find(|shown| keys.starts_with(real(Path::new(shown.source)))) {
            None => Ok(()),
            Some(SandboxPath { source, .. }) => Err(ExitKind::Refused.error(format!(
                "the setting `sandbox-paths` of nix shows {source} to builds, and with it the private keys of hosts in {}: \
                 take it out of nix.conf",
                keys.display()
            ))),
        }
    }

    /// The setting without the paths that are not there, with which no build begins: the Nix of Debian has one by default.
    fn without_missing_paths(&self) -> Option<String> {
        let is_there = |path: &SandboxPath| path.optional || Path::new(path.source).exists();
        let words = self.sandbox_paths().filter(is_there).map(|SandboxPath { seen, source, optional }| {
            format!("{seen}={source}{}", if optional { "?" } else { "" })
        });
        let words = words.collect::<Vec<_>>();
        let line = format!("sandbox-paths = {}", words.join(" "));
        (words.len() < self.sandbox_paths().count()).then_some(line)
    }

    /// A list of `SOURCE` or `SEEN=SOURCE`, each with a `?` behind it where it may be missing; in newer versions an object
    /// with `SEEN` as its names.
    fn sandbox_paths(&self) -> impl Iterator<Item = SandboxPath<'_>> {
        let setting = &self.0["sandbox-paths"]["value"];
        let list = setting.as_array().into_iter().flatten().filter_map(Value::as_str).map(|entry| {
            let path = entry.strip_suffix('?').unwrap_or(entry);
            let (seen, source) = path.split_once('=').unwrap_or((path, path));
            SandboxPath { seen, source, optional: path != entry }
        });
        let object = setting.as_object().into_iter().flatten().map(|(seen, of)| SandboxPath {
            seen,
            source: of["source"].as_str().or(of.as_str()).unwrap_or(seen),
            optional: of["optional"] == true,
        });
        list.chain(object)
    }
}

/// What builds in the sandbox see at `seen`.
struct SandboxPath<'a> {
    seen: &'a str,
    source: &'a str,
    optional: bool,
}

fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|there| Some((there, there.canonicalize().ok()?)));
    let whole = there.and_then(|(there, real)| Some(real.join(path.strip_prefix(there).ok()?)));
    whole.unwrap_or_else(|| path.to_owned())
}

/// Keeps Nix from the answers of the user, where they allow a flake more than [`HARMLESS`] settings.
fn hide_answers(launcher: Launcher) -> (Launcher, Option<String>) {
    let folder = |name: &str| launcher.env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
    let Some(file) = data.map(|data| data.join(ANSWERS)).filter(|file| file.exists()) else {
        return (launcher, None);
    };
    let known = bounded::read(&file, LIMIT, Links::Follow).ok();
    let harmful =
        known.and_then(|text| serde_json::from_slice(&text).ok()).and_then(|answers| harmful(&answers));
    // What cannot be read is not relied on.
    let name = match harmful {
        Some(None) => return (launcher, None),
        Some(Some(name)) => name,
        None => "an unreadable one".to_owned(),
    };
    let text = format!(
        "the settings of flakes that {} allows are not taken over, because of `{name}`: it is not for a flake to say",
        file.display()
    );
    // Newer versions of Nix have a variable of their own.
    (launcher.with_env("XDG_DATA_HOME", "/dev/null").with_env("NIX_DATA_HOME", "/dev/null"), Some(text))
}

/// The first setting in `answers` that is allowed and not harmless; `None` where it is no list of answers.
#[expect(clippy::option_option, reason = "unreadable, harmless, harmful")]
fn harmful(answers: &Value) -> Option<Option<String>> {
    let allowed =
        |values: &Value| values.as_object().is_some_and(|values| values.values().any(|it| *it == true));
    let mut names = answers.as_object()?.iter().filter(|(_, values)| allowed(values)).map(|(name, _)| name);
    Some(names.find(|name| !HARMLESS.contains(&name.as_str())).cloned())
}

#[cfg(test)]
mod tests;
