//! Keys with a passphrase: in a run without a terminal, ssh skips them without a message.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::process::{Bounds, Launcher};
use crate::deploy::target::Connection;

/// How `ssh-keygen` begins its complaint about the passphrase (OpenSSH 7.0 to 10.0).
const WRONG_PASSPHRASE: &str = "incorrect passphrase";
/// How many keys are examined at most.
const MAX_KEYS: usize = 16;
/// The limits of a program that examines a key.
const BOUNDS: Bounds = Bounds { output: 1 << 20, time: Duration::from_secs(10) };

/// The first key for `connection` that ssh cannot use, because it has a passphrase, and no agent has it.
pub fn first_locked_key(launcher: &Launcher, connection: &Connection) -> Option<PathBuf> {
    let args = connection.arguments(vec!["-G".to_owned()], "true");
    let settings = run(launcher, "ssh", &args)?;
    let home = launcher.env("HOME").map(PathBuf::from).unwrap_or_default();
    let agent = run(launcher, "ssh-add", &["-l".to_owned()]).unwrap_or_default();
    let mut files = identity_files(&settings, &home).into_iter();
    files.find(|file| file.is_file() && is_locked(launcher, file) && !is_in_agent(launcher, file, &agent))
}

/// The files of keys in `settings`, the output of `ssh -G`. `home` is the home folder of the user.
fn identity_files(settings: &str, home: &Path) -> Vec<PathBuf> {
    let values = settings.lines().filter_map(|line| line.strip_prefix("identityfile "));
    let path = |value: &str| match value.strip_prefix("~/") {
        Some(below) => home.join(below),
        None => PathBuf::from(value),
    };
    values.map(path).take(MAX_KEYS).collect()
}

/// Whether the key in `file` does not open without a passphrase.
fn is_locked(launcher: &Launcher, file: &Path) -> bool {
    let name = file.display().to_string();
    let args = ["-y", "-P", "", "-f", &name];
    let output = launcher.run_bounded("ssh-keygen", &args, BOUNDS, &|| Ok(()));
    output.is_ok_and(|output| !output.success() && output.stderr.contains(WRONG_PASSPHRASE))
}

/// Whether the fingerprint of the key in `file` is in `agent`, the output of `ssh-add -l`.
fn is_in_agent(launcher: &Launcher, file: &Path, agent: &str) -> bool {
    let args = ["-l".to_owned(), "-f".to_owned(), file.display().to_string()];
    let line = run(launcher, "ssh-keygen", &args).unwrap_or_default();
    let fingerprint = line.split_whitespace().nth(1);
    fingerprint.is_some_and(|known| agent.split_whitespace().any(|word| word == known))
}

/// Runs `program` and returns its stdout; `None` if it fails.
fn run(launcher: &Launcher, program: &str, args: &[String]) -> Option<String> {
    let output = launcher.run_bounded(program, args, BOUNDS, &|| Ok(())).ok()?;
    output.success().then_some(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs ssh-keygen: run `cargo xtask test`"]
    fn only_a_key_with_a_passphrase_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let launcher = Launcher::new("/").with_env("SSH_AUTH_SOCK", "/nowhere");
        let connection = |key: &Path| Connection {
            destination: "root@127.0.0.1".into(),
            options: ["-F", "/dev/null", "-i", &key.display().to_string()].map(str::to_owned).to_vec(),
            pin: None,
        };
        for (format, passphrase, expected) in [
            (&[][..], "", false),
            (&[], "secret", true),
            (&["-m", "PEM"], "secret", true),
            (&["-m", "PKCS8"], "secret", true),
        ] {
            let key = dir.path().join(format!("key{}{passphrase}", format.concat()));
            let file = key.display().to_string();
            let keygen_args = ["-q", "-t", "rsa", "-b", "2048", "-N", passphrase, "-f", &file];
            launcher.read("ssh-keygen", &[&keygen_args[..], format].concat()).unwrap();
            let found = first_locked_key(&launcher, &connection(&key));
            assert_eq!(found, expected.then_some(key), "{format:?}");
        }
        let not_a_key = dir.path().join("none");
        // Neither a missing file nor a file without a key is locked.
        assert_eq!(first_locked_key(&launcher, &connection(&not_a_key)), None);
        std::fs::write(&not_a_key, "no key").unwrap();
        assert_eq!(first_locked_key(&launcher, &connection(&not_a_key)), None);
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["user pi\nidentityfile ~/.ssh/id_ed25519\n"], |text| {
            identity_files(text, Path::new("/home/pi"))
        });
    }
}
