//! Why ssh-keygen did not sign: the agent, the file of the key, or what ssh-keygen says.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::base::process::{Bounds, Launcher, Output};
use crate::base::shell;
use crate::failure;

/// The limits of a question to the agent or about the key.
const BOUNDS: Bounds = Bounds { output: 1 << 20, time: Duration::from_secs(30) };
/// The exit code of `ssh-add -L` where the agent offers no key.
const NO_KEYS: i32 = 1;

/// Why a key did not sign.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SigningFault {
    /// No agent answers.
    NoAgent,
    /// The agent offers no key at all.
    EmptyAgent,
    /// The agent has other keys.
    OtherKeys,
    /// Others can read the private key, so that OpenSSH ignores it.
    Exposed,
    /// The private key has a passphrase, and there is no terminal to type it.
    Passphrase,
    /// What ssh-keygen says; `None` where it said that on the terminal.
    Other(Option<String>),
}

/// Whether the file `key` is that of a public key, by its name: then an agent signs.
pub fn is_public(key: &Path) -> bool {
    key.extension() == Some(OsStr::new("pub"))
}

/// The error for ssh-keygen that ended with `output`, and did not sign with `key`.
pub fn signing_error(launcher: &Launcher, key: &Path, output: &Output) -> anyhow::Error {
    let fault = find(launcher, key, output, File::open("/dev/tty").is_ok());
    let reason = fault.reason().unwrap_or_else(|| format!("exit code {}", output.code));
    failure!(
        Refused, "ssh-keygen did not sign with {}: {reason}", key.display();
        hint: "{}", fault.hint(key)
    )
}

/// The fault, where this process `has_terminal` or not.
fn find(launcher: &Launcher, key: &Path, output: &Output, has_terminal: bool) -> SigningFault {
    let of_key = if is_public(key) { of_agent(launcher, key) } else { of_file(launcher, key, has_terminal) };
    of_key.unwrap_or_else(|| {
        let last = output.stderr.lines().rev().find(|line| !line.trim().is_empty());
        SigningFault::Other(last.map(|line| line.trim().to_owned()))
    })
}

/// The fault of the agent that should have the private key of the public key in the file `key`.
fn of_agent(launcher: &Launcher, key: &Path) -> Option<SigningFault> {
    let listed = launcher.run_bounded_with_input("ssh-add", &["-L"], b"", BOUNDS).ok()?;
    match listed.code {
        0 => {}
        NO_KEYS => return Some(SigningFault::EmptyAgent),
        _ => return Some(SigningFault::NoAgent),
    }
    let text = fs::read_to_string(key).ok()?;
    let public = text.split_whitespace().nth(1)?;
    let has_key = listed.stdout.lines().any(|line| line.split_whitespace().nth(1) == Some(public));
    (!has_key).then_some(SigningFault::OtherKeys)
}

/// The fault of the private key in the file `key`.
fn of_file(launcher: &Launcher, key: &Path, has_terminal: bool) -> Option<SigningFault> {
    if fs::metadata(key).ok()?.permissions().mode() & 0o077 != 0 {
        return Some(SigningFault::Exposed);
    }
    let args = ["-y", "-P", "", "-f", &key.display().to_string()];
    let opened = launcher.run_bounded_with_input("ssh-keygen", &args, b"", BOUNDS).ok()?;
    let is_locked = !opened.success() && opened.stderr.contains("passphrase");
    (is_locked && !has_terminal).then_some(SigningFault::Passphrase)
}

impl SigningFault {
    /// The fault in words; `None` where ssh-keygen has said it.
    fn reason(&self) -> Option<String> {
        Some(match self {
            Self::NoAgent => "no ssh-agent answers".to_owned(),
            Self::EmptyAgent => "the ssh-agent offers no key: it has none, or it is locked".to_owned(),
            Self::OtherKeys => "the ssh-agent does not have this key".to_owned(),
            Self::Exposed => "others can read this private key, and OpenSSH ignores such a key".to_owned(),
            Self::Passphrase => "the key has a passphrase, and there is no terminal to type it".to_owned(),
            Self::Other(said) => return said.clone(),
        })
    }

    /// The remedy for the file `key`, as the user named it.
    fn hint(&self, key: &Path) -> String {
        let private = if is_public(key) { key.with_extension("") } else { key.to_owned() };
        let public = shell::quote(&format!("{}.pub", private.display()));
        let private = shell::quote(&private.to_string_lossy());
        match self {
            Self::NoAgent => format!("start one by `eval \"$(ssh-agent)\"`, then `ssh-add {private}`"),
            Self::EmptyAgent => {
                format!("add the key by `ssh-add {private}`; `ssh-add -X` unlocks an agent")
            }
            Self::OtherKeys => format!("add the key by `ssh-add {private}`"),
            Self::Exposed => format!("`chmod 600 {private}`"),
            Self::Passphrase => {
                format!("add the key to an agent by `ssh-add {private}`, and pass `--sign {public}`")
            }
            Self::Other(said) => {
                let above = if said.is_none() { "its message is above; " } else { "" };
                format!("{above}for a key in an agent pass the public key, such as ~/.ssh/id_ed25519.pub")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_its_remedy() {
        let hint = |fault: SigningFault, key: &str| fault.hint(Path::new(key));
        assert_eq!(hint(SigningFault::OtherKeys, "/k/ci.pub"), "add the key by `ssh-add /k/ci`");
        assert_eq!(hint(SigningFault::Exposed, "ci"), "`chmod 600 ci`");
        assert!(hint(SigningFault::Passphrase, "ci").ends_with("`ssh-add ci`, and pass `--sign ci.pub`"));
        assert!(hint(SigningFault::Other(None), "ci").starts_with("its message is above; "));
        assert_eq!(SigningFault::Other(None).reason(), None);
    }

    #[test]
    fn a_passphrase_that_nobody_can_type_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let launcher = Launcher::new("/");
        let output = Output { code: 255, stdout: String::new(), stderr: "a\nb \n\n".into() };
        for (passphrase, has_terminal, expected) in [
            ("secret", false, SigningFault::Passphrase),
            ("secret", true, SigningFault::Other(Some("b".into()))),
            ("", false, SigningFault::Other(Some("b".into()))),
        ] {
            let key = dir.path().join(format!("key-{passphrase}-{has_terminal}"));
            let args = ["-q", "-t", "ed25519", "-N", passphrase, "-f", &key.display().to_string()];
            launcher.read("ssh-keygen", &args).unwrap();
            assert_eq!(find(&launcher, &key, &output, has_terminal), expected);
        }
    }
}
