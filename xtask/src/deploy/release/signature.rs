//! Signatures of releases, by `ssh-keygen -Y` (OpenSSH 8.2 and newer).

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bail;
use crate::base::memfd;
use crate::base::process::{Bounds, Launcher, Output};

/// The namespace of the signatures: a signature for another purpose, as of a commit or a mail, is none for a release.
pub const NAMESPACE: &str = "release@cargo-xtask";
/// The limits of `ssh-keygen` where it asks nobody.
const BOUNDS: Bounds = Bounds { output: 64 << 10, time: Duration::from_secs(30) };
/// The limits of a signature, for which a user may have to type a passphrase or to touch a key.
const SIGN_BOUNDS: Bounds = Bounds { output: 64 << 10, time: Duration::from_secs(600) };
/// The most signers that one key may have.
const MAX_SIGNERS: usize = 100;
/// What begins a signature.
const HEAD: &str = "-----BEGIN SSH SIGNATURE-----\n";

/// Who signed a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signer {
    /// The name in the file of allowed signers.
    pub name: String,
    /// The fingerprint of the key, as `ssh-keygen -l` prints it; null if unknown.
    pub key: Option<String>,
}

/// Refuses to continue where `PATH` has no ssh-keygen.
///
/// # Errors
/// `Refused`.
pub fn require_keygen(launcher: &Launcher) -> Result<()> {
    match launcher.which("ssh-keygen") {
        Some(_) => Ok(()),
        None => {
            bail!(Refused, "no ssh-keygen on PATH, which signatures need"; hint: "run `cargo xtask setup`")
        }
    }
}

/// Signs `bytes` with the key in the file `key`: a private key, or a public key whose private key an agent has. The
/// user may be asked for a passphrase or a touch on the terminal.
///
/// # Errors
/// `Refused` where ssh-keygen cannot sign.
pub fn sign(launcher: &Launcher, key: &Path, bytes: &[u8]) -> Result<String> {
    require_keygen(launcher)?;
    let name = key.display().to_string();
    if !key.is_file() {
        bail!(Refused, "there is no key in {name}"; hint: "pass the file of an ssh key, such as ~/.ssh/id_ed25519");
    }
    let mut args = vec!["-q", "-Y", "sign", "-n", NAMESPACE, "-f", &name];
    if key.extension().is_some_and(|ending| ending == "pub") {
        args.insert(1, "-U");
    }
    let signed = launcher.run_asking("ssh-keygen", &args, bytes, SIGN_BOUNDS)?;
    if !signed.success() || !signed.stdout.starts_with(HEAD) {
        bail!(
            Refused, "ssh-keygen did not sign with {name}: exit code {}", signed.code;
            hint: "its message is above; for a key in an agent pass the public key, such as ~/.ssh/id_ed25519.pub"
        );
    }
    let checked = check_form(launcher, &signed.stdout, bytes)?;
    if !checked.success() {
        bail!(Other, "the signature by {name} is not valid: {}", last_line(&checked));
    }
    Ok(signed.stdout)
}

/// Whether `signature` is one of `bytes`, by any key.
fn check_form(launcher: &Launcher, signature: &str, bytes: &[u8]) -> Result<Output> {
    let signature = memfd::file_with("signature", signature.as_bytes())?;
    let path = memfd::path(&signature);
    keygen(launcher, &["-Y", "check-novalidate", "-n", NAMESPACE, "-s", &path], bytes)
}

/// Why a signature does not count.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// No allowed signer has the key.
    UnknownKey(String),
    /// An allowed signer has the key, and the signature is not one of these bytes.
    Invalid(String),
}

/// Who of the allowed `signers`, the content of such a file, made the `signature` of `bytes`; or why nobody did.
///
/// # Errors
/// Where ssh-keygen cannot run.
pub fn verify(
    launcher: &Launcher,
    signers: &[u8],
    signature: &[u8],
    bytes: &[u8],
) -> Result<Result<Signer, Fault>> {
    require_keygen(launcher)?;
    let signers = memfd::file_with("signers", signers)?;
    let signature = memfd::file_with("signature", signature)?;
    verify_files(launcher, &memfd::path(&signers), &memfd::path(&signature), bytes)
}

fn verify_files(
    launcher: &Launcher,
    signers: &str,
    signature: &str,
    bytes: &[u8],
) -> Result<Result<Signer, Fault>> {
    let files = ["-f", signers, "-s", signature];
    let found = keygen(launcher, &[&["-Y", "find-principals"], &files[..]].concat(), b"")?;
    let names = found.stdout.lines().filter(|name| !name.is_empty()).take(MAX_SIGNERS).collect::<Vec<_>>();
    if !found.success() || names.is_empty() {
        return Ok(Err(Fault::UnknownKey(last_line(&found))));
    }
    let mut fault = String::new();
    for name in names {
        let more = ["-Y", "verify", "-n", NAMESPACE, "-I", name];
        let verified = keygen(launcher, &[&more[..], &files].concat(), bytes)?;
        if verified.success() {
            return Ok(Ok(Signer { name: name.to_owned(), key: fingerprint(&verified.stdout) }));
        }
        fault = last_line(&verified);
    }
    Ok(Err(Fault::Invalid(fault)))
}

/// Runs `ssh-keygen` with `args` and `input`.
fn keygen(launcher: &Launcher, args: &[&str], input: &[u8]) -> Result<Output> {
    launcher.run_bounded_with_input("ssh-keygen", args, input, BOUNDS)
}

/// The fingerprint in `Good "…" signature for NAME with ED25519 key SHA256:…`.
fn fingerprint(text: &str) -> Option<String> {
    let (_, key) = text.trim_end().rsplit_once(" key ")?;
    key.starts_with("SHA256:").then(|| key.to_owned())
}

/// The last line of what ssh-keygen printed on stderr, without the name of a file in memory.
fn last_line(output: &Output) -> String {
    let last = output.stderr.lines().rev().find(|line| !line.trim().is_empty());
    let line = last.unwrap_or("ssh-keygen printed no reason");
    match line.strip_prefix("/proc/self/fd/").and_then(|rest| rest.split_once(": ")) {
        Some((_, reason)) => reason.to_owned(),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::base::failure::{ExitKind, kind};

    struct Keys {
        dir: tempfile::TempDir,
        launcher: Launcher,
    }

    impl Keys {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), launcher: Launcher::new("/") }
        }

        /// A new key of `kind` in the file `name`.
        fn make(&self, name: &str, kind: &str) -> PathBuf {
            let file = self.dir.path().join(name);
            let path = file.display().to_string();
            let args = ["-q", "-t", kind, "-N", "", "-C", name, "-f", &path];
            self.launcher.read("ssh-keygen", &args).unwrap();
            file
        }

        fn verify(&self, signers: &str, signature: &str, bytes: &[u8]) -> Result<Signer, Fault> {
            verify(&self.launcher, signers.as_bytes(), signature.as_bytes(), bytes).unwrap()
        }
    }

    /// The line of an allowed signer with the key in the file `key`.
    fn line(principals: &str, key: &Path) -> String {
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        format!("{principals} {public}")
    }

    #[test]
    fn the_signer_of_a_release_is_named() {
        let keys = Keys::new();
        for (name, of_kind) in [("ed", "ed25519"), ("ec", "ecdsa"), ("rsa", "rsa")] {
            let key = keys.make(name, of_kind);
            let signature = sign(&keys.launcher, &key, b"release").unwrap();
            let signers = line(r#"ci@example,other namespaces="release@cargo-xtask""#, &key);
            let signer = keys.verify(&format!("# who\n\n{signers}"), &signature, b"release").unwrap();
            assert_eq!(signer.name, "ci@example");
            assert!(signer.key.unwrap().starts_with("SHA256:"));
        }
    }

    #[test]
    fn what_another_signed_and_another_text_are_no_release() {
        let keys = Keys::new();
        let [key, other] = ["key", "other"].map(|name| keys.make(name, "ed25519"));
        let signature = sign(&keys.launcher, &key, b"release").unwrap();
        let [good, foreign] = [&key, &other].map(|key| line("ci", key));
        let unknown = |text: &str| Err(Fault::UnknownKey(text.into()));
        let invalid = |text: &str| Err(Fault::Invalid(text.into()));
        for (signers, signature, bytes, expected) in [
            (
                &good,
                signature.as_str(),
                &b"released"[..],
                invalid("Signature verification failed: incorrect signature"),
            ),
            (&foreign, &signature, b"release", unknown("No principal matched.")),
            (&String::new(), &signature, b"release", unknown("No principal matched.")),
            (&good, "", b"release", unknown("No principal matched.")),
        ] {
            let found = keys.verify(signers, signature, bytes);
            assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&expected), "{found:?}");
            assert_eq!(
                found.map_err(|fault| format!("{fault:?}")),
                expected.map_err(|fault| format!("{fault:?}"))
            );
        }
        let for_files = line(r#"ci namespaces="file""#, &key);
        assert!(matches!(keys.verify(&for_files, &signature, b"release"), Err(Fault::Invalid(_))));
        let expired = line(r#"ci valid-before="20200101""#, &key);
        assert!(keys.verify(&expired, &signature, b"release").is_err());
    }

    #[test]
    fn a_key_of_an_agent_signs_by_its_public_key() {
        let mut keys = Keys::new();
        let key = keys.make("key", "ed25519");
        let public = key.with_extension("pub");
        let socket = keys.dir.path().join("agent").display().to_string();
        let started = keys.launcher.read("ssh-agent", &["-s", "-a", &socket]).unwrap();
        let pid = started.split_once("SSH_AGENT_PID=").unwrap().1.split_once(';').unwrap().0.to_owned();
        keys.launcher =
            keys.launcher.clone().with_env("SSH_AUTH_SOCK", &socket).with_env("SSH_AGENT_PID", pid);
        keys.launcher.read("ssh-add", &["-q", &key.display().to_string()]).unwrap();
        std::fs::remove_file(&key).unwrap();
        let signed = sign(&keys.launcher, &public, b"release");
        keys.launcher.read("ssh-add", &["-q", "-D"]).unwrap();
        let without_key = sign(&keys.launcher, &public, b"release");
        keys.launcher.read("ssh-agent", &["-k"]).unwrap();
        let signers = line("ci", &key);
        assert_eq!(keys.verify(&signers, &signed.unwrap(), b"release").unwrap().name, "ci");
        assert_eq!(kind(&without_key.unwrap_err()), ExitKind::Refused);
    }

    #[test]
    fn a_key_that_cannot_sign_is_refused() {
        let keys = Keys::new();
        let bad = keys.dir.path().join("bad");
        std::fs::write(&bad, "no key").unwrap();
        for key in [bad, keys.dir.path().join("missing"), keys.dir.path().to_owned()] {
            assert_eq!(kind(&sign(&keys.launcher, &key, b"x").unwrap_err()), ExitKind::Refused);
        }
    }

    #[test]
    fn the_reason_of_ssh_keygen_is_its_last_line() {
        let output = |stderr: &str| Output { code: 255, stdout: String::new(), stderr: stderr.into() };
        for (stderr, expected) in [
            ("a\nb\n\n", "b"),
            ("", "ssh-keygen printed no reason"),
            ("/proc/self/fd/9:1: key has expired: x\n", "key has expired: x"),
        ] {
            assert_eq!(last_line(&output(stderr)), expected);
        }
    }
}
