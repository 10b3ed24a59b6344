//! Reading a private key that a host has already.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::folder::{MAX_KEY_SIZE, public_key_of};
use super::secret::Secret;
use super::stored::KeyPair;
use crate::base::bounded::{self, Links};
use crate::base::process::Launcher;
use crate::base::shell;
use crate::{bail, failure};

/// The first line of a key that sshd reads.
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";

/// A key to import.
#[derive(Debug)]
pub struct KeyFile {
    pub pair: KeyPair,
    /// What the user should know about the file.
    pub warning: Option<String>,
}

/// Reads the private key in `file`; `-` is stdin.
///
/// # Errors
/// `Refused` for a file that is no ed25519 key without a passphrase in the format of OpenSSH, with the way to make one.
pub fn read_key_file(launcher: &Launcher, file: &Path) -> Result<KeyFile> {
    let is_stdin = file == Path::new("-");
    let name = if is_stdin { "stdin".to_owned() } else { file.display().to_string() };
    let bytes = if is_stdin {
        bounded::read_all(std::io::stdin().lock(), MAX_KEY_SIZE)
    } else {
        bounded::open(file, Links::Follow).and_then(|mut opened| {
            let mut bytes = Vec::new();
            opened.by_ref().take(MAX_KEY_SIZE).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    };
    let bytes = bytes.map_err(|error| bounded::named_file_error(file, error));
    let bytes = bytes.with_context(|| format!("reading the key in {name}"))?;
    let pair = parse(launcher, &name, &bytes)?;
    let warning = if is_stdin { None } else { shared_file_warning(file)? };
    Ok(KeyFile { pair, warning })
}

/// The warning about a `file` that others can read.
fn shared_file_warning(file: &Path) -> Result<Option<String>> {
    let mode = file.metadata().with_context(|| format!("reading the mode of {}", file.display()))?;
    let mode = mode.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then(|| {
        let quoted = shell::quote(&file.to_string_lossy());
        format!(
            "{} has mode {mode:04o}: others could read this key; run `chmod 600 {quoted}`, and `flash --identity new` \
             if somebody has",
            file.display()
        )
    }))
}

/// The key in `bytes`, which were read from `name`. Line ends of other systems and missing ones are mended.
fn parse(launcher: &Launcher, name: &str, bytes: &[u8]) -> Result<KeyPair> {
    let text = String::from_utf8_lossy(bytes).replace('\r', "");
    let text = text.trim();
    if !text.starts_with(BEGIN) {
        return Err(other_file_refusal(name, text));
    }
    let private = Secret::new(format!("{text}\n").into_bytes());
    match public_key_of(launcher, &private)? {
        Ok(public) => Ok(KeyPair { private, public }),
        Err(fault) if fault.contains("passphrase") => bail!(
            Refused, "the key in {name} {fault}";
            hint: "remove it from a copy: `ssh-keygen -p -N '' -f COPY`"
        ),
        Err(fault) if fault.contains("ed25519") => bail!(
            Refused, "the key in {name} {fault}";
            hint: "import /etc/ssh/ssh_host_ed25519_key of the host, which sshd of NixOS makes"
        ),
        Err(fault) => bail!(Refused, "the key in {name} {fault}"; hint: "copy the whole file again"),
    }
}

/// The refusal of a file that is no key in the format of OpenSSH.
fn other_file_refusal(name: &str, text: &str) -> anyhow::Error {
    let first = text.lines().next().unwrap_or_default();
    let is_public = ["ssh-", "ecdsa-", "sk-"].iter().any(|begin| first.starts_with(begin));
    if is_public {
        return failure!(Refused, "{name} is a public key"; hint: "name the private key: the file without `.pub`");
    }
    if first.starts_with("PuTTY-User-Key-File") {
        return failure!(
            Refused, "{name} is a key of PuTTY";
            hint: "convert it: `puttygen KEY -O private-openssh -o NEW`"
        );
    }
    if first.starts_with("AGE-SECRET-KEY-") || text.contains("\nAGE-SECRET-KEY-") {
        return failure!(
            Refused, "{name} is a key of age, which is no host key";
            hint: "import the ssh host key; its age recipient is derived from it"
        );
    }
    let is_rsa =
        ["RSA", "DSA", "EC"].iter().any(|kind| first == format!("-----BEGIN {kind} PRIVATE KEY-----"));
    if is_rsa {
        return failure!(
            Refused, "the key in {name} is not an ed25519 key";
            hint: "import /etc/ssh/ssh_host_ed25519_key of the host, which sshd of NixOS makes"
        );
    }
    if first.starts_with("-----BEGIN ") && first.contains("PRIVATE KEY") {
        return failure!(
            Refused, "the key in {name} is not in the format of OpenSSH";
            hint: "convert a copy: `ssh-keygen -p -N '' -f COPY`"
        );
    }
    failure!(Refused, "{name} is no private key"; hint: "name a file that begins with `{BEGIN}`")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::failure::{ExitKind, kind, with_hint};

    /// Makes a key by ssh-keygen with `options`, and returns its file.
    fn make_key(dir: &Path, options: &[&str]) -> std::path::PathBuf {
        let file = dir.join("key");
        let path = file.display().to_string();
        let args = [&["-q", "-f", &path][..], options].concat();
        Launcher::new("/").read("ssh-keygen", &args).unwrap();
        file
    }

    fn refusal(file: &Path) -> String {
        let error = read_key_file(&Launcher::new("/"), file).unwrap_err();
        assert_eq!(kind(&error), ExitKind::Refused);
        with_hint(&error).replace(&file.display().to_string(), "FILE")
    }

    #[test]
    #[ignore = "needs ssh-keygen: run `cargo xtask test`"]
    fn an_ed25519_key_is_read_with_any_line_ends() {
        let dir = tempfile::tempdir().unwrap();
        let file = make_key(dir.path(), &["-t", "ed25519", "-N", ""]);
        let launcher = Launcher::new("/");
        let key = read_key_file(&launcher, &file).unwrap();
        assert_eq!(key.warning, None);
        let text = fs::read_to_string(&file).unwrap();
        for other in [text.replace('\n', "\r\n"), text.trim_end().to_owned(), format!("\n{text}\n\n")] {
            fs::write(&file, &other).unwrap();
            assert_eq!(read_key_file(&launcher, &file).unwrap().pair, key.pair, "{other:?}");
        }
        fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        let warning = read_key_file(&launcher, &file).unwrap().warning.unwrap();
        assert!(warning.contains("has mode 0644: others could read this key"), "{warning}");
    }

    #[test]
    #[ignore = "needs ssh-keygen: run `cargo xtask test`"]
    fn other_keys_are_refused_with_the_way_out() {
        for (options, expected) in [
            (
                &["-t", "ed25519", "-N", "secret"][..],
                "has a passphrase, which nobody could type on the host; remove it",
            ),
            (&["-t", "ecdsa", "-N", ""], "is not an ed25519 key; import /etc/ssh/ssh_host_ed25519_key"),
            (&["-t", "rsa", "-b", "2048", "-N", "", "-m", "PEM"], "is not an ed25519 key; import"),
            (
                &["-t", "rsa", "-b", "2048", "-N", "", "-m", "PKCS8"],
                "is not in the format of OpenSSH; convert a copy",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let refused = refusal(&make_key(dir.path(), options));
            assert!(refused.contains(expected), "{options:?}: {refused}");
        }
    }

    #[test]
    #[ignore = "needs ssh-keygen: run `cargo xtask test`"]
    fn other_files_are_refused_by_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let damaged = format!("{BEGIN}\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n");
        for (text, expected) in [
            ("ssh-ed25519 AAAA me", "FILE is a public key; name the private key: the file without `.pub`"),
            ("PuTTY-User-Key-File-3: ssh-ed25519", "FILE is a key of PuTTY; convert it"),
            ("# created\nAGE-SECRET-KEY-1Q", "FILE is a key of age, which is no host key"),
            ("", "FILE is no private key; name a file that begins with"),
            ("\0\u{ff}", "FILE is no private key"),
            (&damaged, "the key in FILE is damaged: ssh-keygen cannot read it; copy the whole file again"),
        ] {
            fs::write(&file, text).unwrap();
            let refused = refusal(&file);
            assert!(refused.starts_with(expected), "{text:?}: {refused}");
            // No part of a secret is quoted.
            assert!(!refused.contains("KEY-1Q"), "{refused}");
        }
        fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
        assert!(refusal(&file).starts_with("FILE is no private key"));
    }
}
