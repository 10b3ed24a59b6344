//! The user's own settings of Nix that the Nix of `setup` gets too: how it reaches the network and other machines. It
//! gets no others: none of the sandbox, of build users, of plugins, of hooks and of the store.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;

/// The settings that are kept; the same names with the prefix `extra-` are kept too.
const KEPT: &[&str] = &[
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

/// The folder of the settings of the whole machine.
const SYSTEM: &str = "/etc/nix";
/// The files beside nix.conf that are the defaults of a setting, each with the line that sets it.
const DEFAULT_FILES: [(&str, &str); 2] = [("netrc", "netrc-file = "), ("machines", "builders = @")];

/// The most files that are read: a file can include others.
const MAX_FILES: usize = 32;
/// The most bytes that are read of a file.
const MAX_FILE: u64 = 1 << 20;
/// The most bytes of all kept settings. One variable passes them, and Linux limits a variable to 128 KiB.
const MAX_LENGTH: usize = 64 << 10;

/// The kept settings as lines of `nix.conf`. Of two lines for one setting the later one counts.
pub fn lines(launcher: &Launcher) -> String {
    let folder = |name: &str| launcher.env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let system = folder("NIX_CONF_DIR").unwrap_or_else(|| PathBuf::from(SYSTEM));
    let defaults = DEFAULT_FILES.iter().filter(|(file, _)| system.join(file).is_file());
    let defaults = defaults.map(|(file, setting)| format!("{setting}{}\n", system.join(file).display()));
    let mut reader = Reader { text: defaults.collect(), seen: HashSet::new() };
    reader.read(&system.join("nix.conf"));
    // The first file of the user wins.
    user_files(launcher).iter().rev().for_each(|file| reader.read(file));
    reader.text
}

/// The files with the user's settings, as Nix finds them.
fn user_files(launcher: &Launcher) -> Vec<PathBuf> {
    if let Some(files) = launcher.env("NIX_USER_CONF_FILES") {
        return std::env::split_paths(&files).filter(|file| !file.as_os_str().is_empty()).collect();
    }
    let variable = |name: &str| launcher.env(name).filter(|value| !value.is_empty());
    let home = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")));
    let others = variable("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
    home.into_iter().chain(std::env::split_paths(&others)).map(|folder| folder.join("nix/nix.conf")).collect()
}

/// Reads files of settings in order.
struct Reader {
    text: String,
    seen: HashSet<PathBuf>,
}

impl Reader {
    /// Adds the kept settings of `file`, and of the files that it includes. Nix itself refuses what it cannot read.
    fn read(&mut self, file: &Path) {
        if self.seen.len() >= MAX_FILES || !self.seen.insert(file.to_owned()) {
            return;
        }
        let Ok(bytes) = bounded::read(file, MAX_FILE, Links::Follow) else { return };
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

    fn add(&mut self, name: &str, value: &str) {
        let line = format!("{name} = {value}\n");
        // With a signing key that it cannot read, such as one of root, Nix builds nothing.
        let is_readable = |file: &str| access(file, Access::READ_OK).is_ok();
        if name.ends_with("secret-key-files") && !value.split(' ').all(is_readable) {
            return;
        }
        if self.text.len() + line.len() <= MAX_LENGTH {
            self.text.push_str(&line);
        }
    }
}

fn is_kept(name: &str) -> bool {
    KEPT.contains(&name.strip_prefix("extra-").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A launcher whose Nix has the folder `etc` for the machine and `home/.config/nix` for the user, in a new folder.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Launcher) {
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
    fn how_the_network_is_reached_is_kept_and_nothing_else() {
        let (_dir, launcher) = machine(&[
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
    fn files_that_nix_takes_without_a_setting() {
        let (dir, launcher) =
            machine(&[("etc/netrc", ""), ("etc/machines", ""), ("own", "cores = 1"), ("b", "cores = 2")]);
        let etc = dir.path().join("etc").display().to_string();
        let defaults = format!("netrc-file = {etc}/netrc\nbuilders = @{etc}/machines\n");
        assert_eq!(lines(&launcher), defaults);
        let files = format!("{0}/own:{0}/b", dir.path().display());
        let named = launcher.with_env("NIX_USER_CONF_FILES", files);
        assert_eq!(lines(&named), format!("{defaults}cores = 2\ncores = 1\n"));
    }

    #[test]
    fn endless_settings_are_not_kept() {
        let many = "access-tokens = github.com=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(10_000);
        let (_dir, launcher) = machine(&[("etc/nix.conf", &many)]);
        assert!(lines(&launcher).len() <= MAX_LENGTH);
    }

    #[test]
    fn fuzz() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nix.conf");
        let sample = "sandbox = false # no\nhttp-connections   =  4\n!include nix.conf\naccess-tokens = github.com=a\n";
        crate::base::fuzz::check(&[sample.as_bytes()], |bytes| {
            fs::write(&file, bytes).unwrap();
            let mut reader = Reader { text: String::new(), seen: HashSet::new() };
            reader.read(&file);
            reader.text.lines().for_each(|line| assert!(is_kept(line.split(' ').next().unwrap()), "{line}"));
        });
    }
}
