//! Signatures by real keys and a real agent.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::base::failure::{ExitKind, kind, with_hint};
use crate::base::program_file;

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
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
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
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
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

/// The error of a signature by `key`.
fn refusal(launcher: &Launcher, key: &Path) -> String {
    let error = sign(launcher, key, b"release").unwrap_err();
    assert_eq!(kind(&error), ExitKind::Refused, "{error}");
    with_hint(&error)
}

#[test]
#[ignore = "needs ssh-keygen: run `cargo xtask test`"]
fn a_key_of_an_agent_signs_by_its_public_key() {
    let mut keys = Keys::new();
    let [key, other] = ["key", "other"].map(|name| keys.make(name, "ed25519"));
    let public = key.with_extension("pub");
    let socket = keys.dir.path().join("agent").display().to_string();
    keys.launcher = keys.launcher.clone().with_env("SSH_AUTH_SOCK", &socket);
    let no_agent = refusal(&keys.launcher, &public);
    let started = keys.launcher.read("ssh-agent", &["-s", "-a", &socket]).unwrap();
    let pid = started.split_once("SSH_AGENT_PID=").unwrap().1.split_once(';').unwrap().0.to_owned();
    keys.launcher = keys.launcher.clone().with_env("SSH_AGENT_PID", pid);
    let add = |file: &Path| keys.launcher.read("ssh-add", &["-q", &file.display().to_string()]).unwrap();
    let empty = refusal(&keys.launcher, &public);
    add(&other);
    let other_keys = refusal(&keys.launcher, &public);
    add(&key);
    std::fs::remove_file(&key).unwrap();
    let signed = sign(&keys.launcher, &public, b"release");
    let asker = keys.dir.path().join("asker");
    program_file::write(&asker, "#!/bin/sh\necho word\n", 0o755).unwrap();
    let asking = keys.launcher.clone().with_env("SSH_ASKPASS", &asker);
    asking.with_env("SSH_ASKPASS_REQUIRE", "force").read("ssh-add", &["-x"]).unwrap();
    let locked = refusal(&keys.launcher, &public);
    keys.launcher.read("ssh-agent", &["-k"]).unwrap();
    let signers = line("ci", &key);
    assert_eq!(keys.verify(&signers, &signed.unwrap(), b"release").unwrap().name, "ci");
    let add = format!("ssh-add {}`", key.display());
    for (text, reason) in [
        (no_agent, "no ssh-agent answers"),
        (empty, "offers no key: it has none, or it is locked"),
        (other_keys, "the ssh-agent does not have this key"),
        (locked, "offers no key: it has none, or it is locked"),
    ] {
        assert!(text.contains(reason) && text.contains(&add), "{text}");
    }
}

#[test]
fn a_private_key_that_others_can_read_is_named() {
    let keys = Keys::new();
    let key = keys.make("key", "ed25519");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = refusal(&keys.launcher, &key);
    assert!(text.contains("others can read this private key") && text.contains("`chmod 600 "), "{text}");
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
