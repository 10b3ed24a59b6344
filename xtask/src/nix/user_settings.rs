//! The user's own settings of Nix that the Nix of `setup` gets too: those for access to the network and to other
//! machines. The Nix of `setup` gets no other settings: none for the sandbox, build users, plugins, hooks or the store.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;

/// The names of the settings that are kept; the same names with the prefix `extra-` are kept too.
const KEPT_SETTINGS: &[&str] = &[
    "access-tokens",
    "binary-cache-public-keys",
    "binary-caches",
    "builders",
    "builders-use-substitutes",
    "connect-timeout",
    "cores",
    "download-attempts",
    "download-speed",
    "fallback",
    "http-connections",
    "http2",
    "max-jobs",
    "netrc-file",
    "secret-key-files",
    "ssl-cert-file",
    "stalled-download-timeout",
    "substituters",
    "trusted-public-keys",
];

/// The folder of the settings for the whole machine.
const SYSTEM_FOLDER: &str = "/etc/nix";
/// The files that Nix uses beside nix.conf without a setting, each with the beginning of the line that sets it.
const DEFAULT_FILES: &[(&str, &str)] = &[("netrc", "netrc-file = "), ("machines", "builders = @")];

/// The most files that are read: a file can include others.
const MAX_FILES: usize = 32;
/// The most bytes that are read of a file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The most bytes of all kept settings. One variable passes them, and Linux limits a variable to 128 KiB.
const MAX_TOTAL_BYTES: usize = 64 << 10;

/// The kept settings as lines of `nix.conf`. Of two lines for one setting the later one counts.
pub fn lines(launcher: &Launcher) -> String {
    let folder = variable(launcher, "NIX_CONF_DIR").unwrap_or_else(|| SYSTEM_FOLDER.into());
    let folder = PathBuf::from(folder);
    let mut reader = SettingsReader { text: default_lines(&folder), seen: HashSet::new() };
    reader.read(&folder.join("nix.conf"));
    // Nix prefers the user's first file, and of two lines the later one.
    for file in user_files(launcher).iter().rev() {
        reader.read(file);
    }
    reader.text
}

/// The lines that set the [`DEFAULT_FILES`] that exist in `folder`.
fn default_lines(folder: &Path) -> String {
    let files = DEFAULT_FILES.iter().map(|(name, setting)| (folder.join(name), setting));
    let existing = files.filter(|(file, _)| file.is_file());
    existing.map(|(file, setting)| format!("{setting}{}\n", file.display())).collect()
}

/// The files with the user's settings, as Nix finds them, the preferred one first.
fn user_files(launcher: &Launcher) -> Vec<PathBuf> {
    if let Some(files) = launcher.env("NIX_USER_CONF_FILES") {
        return std::env::split_paths(&files).filter(|file| !file.as_os_str().is_empty()).collect();
    }
    let other_folders = variable(launcher, "XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
    let other_folders = std::env::split_paths(&other_folders).map(|folder| folder.join("nix"));
    let folders = own_folder(launcher).into_iter().chain(other_folders);
    folders.map(|folder| folder.join("nix.conf")).collect()
}

/// The folder of the user's own nix.conf; `None` where the user has no home.
fn own_folder(launcher: &Launcher) -> Option<PathBuf> {
    // Newer versions of Nix have a variable of their own.
    if let Some(folder) = variable(launcher, "NIX_CONFIG_HOME") {
        return Some(PathBuf::from(folder));
    }
    let config = match variable(launcher, "XDG_CONFIG_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(variable(launcher, "HOME")?).join(".config"),
    };
    Some(config.join("nix"))
}

/// The environment variable `name`; `None` where the variable is unset or empty.
pub(super) fn variable(launcher: &Launcher, name: &str) -> Option<OsString> {
    launcher.env(name).filter(|value| !value.is_empty())
}

/// Reads files of settings in order.
struct SettingsReader {
    /// The kept settings so far, as lines of `nix.conf`.
    text: String,
    /// The files that were read.
    seen: HashSet<PathBuf>,
}

impl SettingsReader {
    /// Adds the kept settings of `file`, and of the files that `file` includes. Skips files that cannot be read: Nix
    /// itself refuses them.
    fn read(&mut self, file: &Path) {
        if self.seen.len() >= MAX_FILES || !self.seen.insert(file.to_owned()) {
            return;
        }
        let Ok(bytes) = bounded::read(file, MAX_FILE_BYTES, Links::Follow) else { return };
        for line in String::from_utf8_lossy(&bytes).lines() {
            let words = line.split('#').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
            match words[..] {
                ["include" | "!include", included] => {
                    self.read(&file.parent().unwrap_or(Path::new("/")).join(included));
                }
                [name, "=", ref value @ ..] if is_kept(name) => self.add(name, &value.join(" ")),
                _ => {}
            }
        }
    }

    /// Adds the setting `name` with `value`, unless it names a signing key that cannot be read, or the kept settings
    /// would exceed [`MAX_TOTAL_BYTES`].
    fn add(&mut self, name: &str, value: &str) {
        // Nix builds nothing if it cannot read one of its signing keys, such as a key of root.
        let is_readable = |file: &str| access(file, Access::READ_OK).is_ok();
        if name.ends_with("secret-key-files") && !value.split(' ').all(is_readable) {
            return;
        }
        let line = format!("{name} = {value}\n");
        if self.text.len() + line.len() <= MAX_TOTAL_BYTES {
            self.text.push_str(&line);
        }
    }
}

/// Whether the setting `name` is kept.
fn is_kept(name: &str) -> bool {
    KEPT_SETTINGS.contains(&name.strip_prefix("extra-").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A new folder with `files`, each a path and a text, and a launcher whose Nix reads the folder `etc` there for the
    /// machine, `home/.config` for the user and `xdg` for all users.
    fn launcher_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Launcher) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let launcher = Launcher::with_clean_env("/")
            .with_env("NIX_CONF_DIR", dir.path().join("etc"))
            .with_env("HOME", dir.path().join("home"))
            .with_env("XDG_CONFIG_DIRS", dir.path().join("xdg"));
        (dir, launcher)
    }

    #[test]
    fn only_settings_for_the_network_and_other_machines_are_kept() {
        let (_dir, launcher) = launcher_with(&[
            ("etc/nix.conf", "sandbox = false # no\nhttp-connections   =  4\naccess-tokens = github.com=a\n"),
            (
                "home/.config/nix/nix.conf",
                "extra-sandbox-paths = /\n!include tokens.conf\ninclude missing\nssl-cert-file = /c # own\n\
                 build-users-group = x\nplugin-files = /p\nstore = /s\npost-build-hook = /h\naccept-flake-config = true\n\
                 trusted-users = me\nallowed-users = *\nexperimental-features = x\nssl-cert-file=/no\n",
            ),
            (
                "home/.config/nix/tokens.conf",
                "access-tokens = github.com=b gitlab.com=PAT:c\n!include tokens.conf\n",
            ),
            ("xdg/nix/nix.conf", "extra-substituters = https://c\nnetrc-file = /n"),
        ]);
        let expected = "http-connections = 4\naccess-tokens = github.com=a\nextra-substituters = https://c\nnetrc-file = /n\n\
                        access-tokens = github.com=b gitlab.com=PAT:c\nssl-cert-file = /c\n";
        assert_eq!(lines(&launcher), expected);
    }

    #[test]
    fn files_that_nix_uses_without_a_setting_are_set() {
        let (dir, launcher) = launcher_with(&[
            ("etc/netrc", ""),
            ("etc/machines", ""),
            ("own", "cores = 1"),
            ("b", "cores = 2"),
        ]);
        let etc = dir.path().join("etc").display().to_string();
        let defaults = format!("netrc-file = {etc}/netrc\nbuilders = @{etc}/machines\n");
        assert_eq!(lines(&launcher), defaults);
        let files = format!("{0}/own:{0}/b", dir.path().display());
        let named = launcher.with_env("NIX_USER_CONF_FILES", files);
        assert_eq!(lines(&named), format!("{defaults}cores = 2\ncores = 1\n"));
    }

    #[test]
    fn the_own_folder_of_nix_replaces_that_of_the_user() {
        let (dir, launcher) =
            launcher_with(&[("own/nix.conf", "cores = 1"), ("home/.config/nix/nix.conf", "cores = 2")]);
        assert_eq!(lines(&launcher), "cores = 2\n");
        let named = launcher.with_env("NIX_CONFIG_HOME", dir.path().join("own"));
        assert_eq!(lines(&named), "cores = 1\n");
    }

    #[test]
    fn settings_beyond_the_limit_are_not_kept() {
        let many = "access-tokens = github.com=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(10_000);
        let (_dir, launcher) = launcher_with(&[("etc/nix.conf", &many)]);
        assert!(lines(&launcher).len() <= MAX_TOTAL_BYTES);
    }

    #[test]
    fn fuzz() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nix.conf");
        let sample = "sandbox = false # no\nhttp-connections   =  4\n!include nix.conf\naccess-tokens = github.com=a\n";
        crate::base::fuzz::check(&[sample.as_bytes()], |bytes| {
            fs::write(&file, bytes).unwrap();
            let mut reader = SettingsReader { text: String::new(), seen: HashSet::new() };
            reader.read(&file);
            reader.text.lines().for_each(|line| assert!(is_kept(line.split(' ').next().unwrap()), "{line}"));
        });
    }
}
