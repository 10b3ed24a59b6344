//! Private keys: the public key that belongs to one, by ssh-keygen.

use anyhow::Result;

use crate::base::memfd;
use crate::base::process::Launcher;
use crate::failure;
use crate::identity::key::PublicKey;
use crate::identity::secret::Secret;

/// The maximum size of a private key, in bytes.
pub const MAX_KEY_SIZE: u64 = 64 << 10;

/// Refuses to continue where `PATH` has no ssh-keygen.
pub fn require_keygen(launcher: &Launcher) -> Result<()> {
    launcher.which("ssh-keygen").map(drop).ok_or_else(|| {
        failure!(
            Refused(MissingProgram), "no ssh-keygen on PATH";
            hint: "run `cargo xtask setup`, or pass --identity none to `flash`"
        )
    })
}

/// The public key of `private`, or why no host could use it.
///
/// # Errors
/// `Refused` without ssh-keygen.
pub fn public_key_of(launcher: &Launcher, private: &Secret) -> Result<Result<PublicKey, &'static str>> {
    require_keygen(launcher)?;
    let copy = memfd::file_with("key", private.reveal())?;
    let output = launcher.capture("ssh-keygen", &["-y", "-P", "", "-f", &memfd::path(&copy)])?;
    Ok(match PublicKey::parse(&output.stdout) {
        Some(key) if output.success() => Ok(key),
        _ if output.stderr.contains("passphrase") => {
            Err("has a passphrase, which nobody could type on the host")
        }
        _ if !output.success() => Err("is damaged: ssh-keygen cannot read it"),
        _ => Err("is not an ed25519 key"),
    })
}
