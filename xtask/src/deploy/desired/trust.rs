//! Trust in a flake: whether it may set ssh options that run programs on this machine.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use anyhow::Result;

use super::ssh_options;
use crate::bail;
use crate::base::{FlakeRef, HostName, state};
use crate::nix::StorePath;

/// Which ssh options of a flake are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// All options: the flake is a checkout of this user, or the user trusts it.
    Full,
    /// Only safe options, with the reason.
    Limited(String),
}

impl Trust {
    /// Determines the trust in `flake`. `is_trusted_by_user` is whether the user passes `--trust-flake`.
    pub fn find(flake: &FlakeRef, is_trusted_by_user: bool) -> Self {
        if is_trusted_by_user {
            return Self::Full;
        }
        match untrusted_reason(flake) {
            Some(reason) => Self::Limited(reason),
            None => Self::Full,
        }
    }

    /// Refuses ssh options for `host` that might run a program here, unless the flake is trusted.
    ///
    /// # Errors
    /// `Refused`; the message names the host and the option.
    pub fn check(&self, host: &HostName, options: &[String]) -> Result<()> {
        let Self::Limited(why) = self else { return Ok(()) };
        let Some(option) = ssh_options::first_unsafe_option(options) else { return Ok(()) };
        bail!(
            Refused, "the flake sets the ssh option `{option}` for {host}: this option can run programs on this \
                      machine, and {why}";
            hint: "read the flake, then pass --trust-flake"
        );
    }
}

/// Why `flake` is not a checkout of this user; `None` if it is.
fn untrusted_reason(flake: &FlakeRef) -> Option<String> {
    let folder = flake.folder().and_then(|path| path.canonicalize().ok()).filter(|path| path.is_dir());
    let Some(folder) = folder else { return Some(format!("{flake} is no checkout on this machine")) };
    // How many folders upwards the nearest one with `name` is.
    let steps_to = |name: &str| folder.ancestors().position(|above| above.join(name).exists());
    // Nix takes the nearest flake upwards, and of a folder in a repository what git has of it. So each folder up to the
    // farther of the two counts; without both, each folder up to the root.
    let last = [steps_to("flake.nix"), steps_to(".git")].into_iter().flatten().max().unwrap_or(usize::MAX);
    for above in folder.ancestors().take(last.saturating_add(1)) {
        let files = ["flake.nix", "flake.lock", ".git"].map(|name| above.join(name));
        for path in [above.to_owned()].into_iter().chain(files) {
            let Ok(metadata) = path.metadata() else { continue };
            if let Some(reason) = foreign_writer_reason(&path, &metadata) {
                return Some(reason);
            }
        }
    }
    None
}

/// Why others than this user and root can have written the file at `path`: by its owner, or by who may write to it.
/// `None` if they cannot.
pub fn foreign_writer_reason(path: &Path, metadata: &Metadata) -> Option<String> {
    let own_id = rustix::process::geteuid();
    // Under sudo the checkout belongs to the user who called sudo.
    let caller = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()).filter(|_| own_id.is_root());
    let owner = metadata.uid();
    let is_trusted_owner = owner == 0 || owner == own_id.as_raw() || Some(owner) == caller;
    if !is_trusted_owner {
        return Some(format!("{} belongs to another user", path.display()));
    }
    // In a sticky folder, only the owner of a file can replace it.
    let is_sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
    let is_open = !is_sticky && state::others_can_write(path, metadata);
    is_open.then(|| format!("others can write to {}", path.display()))
}

/// Whether `path` is a store path, or a path below one, in characters that mean nothing else to a program.
pub fn is_store_path(path: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-._?=/".contains(c);
    let leads_up = Path::new(path).components().any(|part| part == Component::ParentDir);
    !leads_up && path.chars().all(is_plain) && StorePath::containing(path).is_some()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::failure::{ExitKind, hint, kind};
    use crate::base::percent_encoding;

    #[test]
    fn only_a_folder_of_this_machine_is_trusted_unless_the_user_trusts_the_flake() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("my flake");
        fs::create_dir_all(own.join("nix")).unwrap();
        fs::write(own.join("nix/flake.nix"), "").unwrap();
        fs::write(own.join("flake.nix"), "").unwrap();
        let name = own.display().to_string();
        let url = percent_encoding::encode(name.as_bytes(), b"/");
        for flake in [
            name.clone(),
            format!("path:{url}?dir=nix"),
            format!("git+file://{url}?ref=main&dir=nix"),
            format!("git+file:{url}"),
        ] {
            assert_eq!(Trust::find(&FlakeRef::parse(&flake).unwrap(), false), Trust::Full, "{flake}");
        }
        let archive = own.join("a.tar.gz").display().to_string();
        fs::write(&archive, "").unwrap();
        let foreign =
            ["github:owner/name", "flake:name", "git+ssh://git@host/repo", "https://host/a.tar.gz", &archive];
        for flake in foreign.iter().map(ToString::to_string).chain([format!("file://{archive}")]) {
            let why = format!("{flake} is no checkout on this machine");
            assert_eq!(
                (
                    Trust::find(&FlakeRef::parse(&flake).unwrap(), false),
                    Trust::find(&FlakeRef::parse(&flake).unwrap(), true)
                ),
                (Trust::Limited(why), Trust::Full)
            );
        }
    }

    fn is_open(path: &Path) -> Trust {
        Trust::Limited(format!("others can write to {}", path.display()))
    }

    #[test]
    fn a_checkout_that_others_can_change_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(dir.path().join("flake.nix"), "").unwrap();
        let trust = || Trust::find(&FlakeRef::of_folder(&below), false);
        assert_eq!(trust(), Trust::Full);
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(trust(), is_open(dir.path()));
    }

    /// Only root can give files away.
    mod as_root {
        use std::os::unix::fs::chown;

        use super::*;

        fn is_foreign(path: &Path) -> Trust {
            Trust::Limited(format!("{} belongs to another user", path.display()))
        }

        #[test]
        #[ignore = "needs root: run `cargo xtask test`"]
        fn a_checkout_of_another_user_or_of_a_group_with_other_members_is_not_trusted() {
            let dir = tempfile::tempdir().unwrap();
            let flake = dir.path().join("flake.nix");
            fs::write(&flake, "").unwrap();
            let trust = || Trust::find(&FlakeRef::of_folder(dir.path()), false);
            assert_eq!(trust(), Trust::Full);
            chown(&flake, None, Some(65_533)).unwrap();
            fs::set_permissions(&flake, PermissionsExt::from_mode(0o664)).unwrap();
            assert_eq!(trust(), is_open(&flake));
            fs::set_permissions(&flake, PermissionsExt::from_mode(0o644)).unwrap();
            assert_eq!(trust(), Trust::Full);
            chown(&flake, Some(65_534), None).unwrap();
            assert_eq!(trust(), is_foreign(&flake));
        }

        /// The repository around the flake determines what Nix takes of it.
        #[test]
        #[ignore = "needs root: run `cargo xtask test`"]
        fn a_checkout_in_the_repository_of_another_user_is_not_trusted() {
            let dir = tempfile::tempdir().unwrap();
            let inner = dir.path().join("flake");
            fs::create_dir(&inner).unwrap();
            fs::write(inner.join("flake.nix"), "").unwrap();
            let trust = || Trust::find(&FlakeRef::of_folder(&inner), false);
            assert_eq!(trust(), Trust::Full);
            let git = dir.path().join(".git");
            fs::create_dir(&git).unwrap();
            assert_eq!(trust(), Trust::Full);
            chown(&git, Some(65_534), None).unwrap();
            assert_eq!(trust(), is_foreign(&git));
        }
    }

    #[test]
    fn the_refusal_of_an_ssh_option_names_the_host_and_the_option() {
        let limited = Trust::Limited("it is foreign".into());
        let options = ["-p".to_owned(), "22".to_owned(), "-oProxyCommand=touch".to_owned()];
        let error = limited.check(&"stinky".into(), &options).unwrap_err();
        let expected = "the flake sets the ssh option `-oProxyCommand=touch` for stinky: this option can run programs \
                        on this machine, and it is foreign";
        assert_eq!((kind(&error), error.to_string().as_str()), (ExitKind::Refused, expected));
        assert_eq!(hint(&error), Some("read the flake, then pass --trust-flake"));
        assert!(
            limited.check(&"stinky".into(), &options[..2]).is_ok()
                && Trust::Full.check(&"stinky".into(), &options).is_ok()
        );
    }

    #[test]
    fn the_refusal_names_the_setting_that_is_a_word_of_its_own() {
        let options = ["-p", "22", "-o", "ProxyCommand=touch"].map(str::to_owned);
        let error = Trust::Limited("it is foreign".into()).check(&"stinky".into(), &options).unwrap_err();
        assert!(error.to_string().contains("the ssh option `-o ProxyCommand=touch` for stinky"), "{error}");
    }

    #[test]
    fn only_a_plain_path_in_the_store_is_a_store_path() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nixos-system-stinky-26.05";
        for (text, expected) in [
            (path.to_owned(), true),
            (format!("{path}/sub"), true),
            (format!("{path}/../../../etc"), false),
            (format!("{path}' '"), false),
            (format!("{path}/a\nb"), false),
            ("--option".to_owned(), false),
        ] {
            assert_eq!(is_store_path(&text), expected, "{text}");
        }
    }
}
