//! Signatures of releases, by `ssh-keygen -Y` (OpenSSH 8.2 and newer).

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bail;
use crate::base::memfd;
use crate::base::process::{Bounds, Launcher, Output};
use crate::deploy::release::signing_fault::{is_public, signing_error};

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
            bail!(Refused(MissingProgram), "no ssh-keygen on PATH, which signatures need"; hint: "run `cargo xtask setup`")
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
    if is_public(key) {
        args.insert(1, "-U");
    }
    // ssh-keygen asks for a passphrase on the terminal; that it waits for a touch, it says on stderr.
    let signed = if std::io::stderr().is_terminal() {
        launcher.run_asking("ssh-keygen", &args, bytes, SIGN_BOUNDS)?
    } else {
        launcher.run_bounded_with_input("ssh-keygen", &args, bytes, SIGN_BOUNDS)?
    };
    if !signed.success() || !signed.stdout.starts_with(HEAD) {
        return Err(signing_error(launcher, key, &signed));
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
mod tests;
