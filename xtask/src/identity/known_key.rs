//! A public host key of any algorithm, as a line of `known_hosts` has it.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key_blob;
use crate::failure;

/// The longest key in bytes of its wire format: an RSA key of 16384 bits has 2.1 KiB.
const MAX_SIZE: usize = 16 << 10;

/// A public key of any algorithm, in the wire format of ssh (RFC 4253, section 6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    algorithm: String,
    blob: Vec<u8>,
}

impl KnownKey {
    /// Parses `ALGORITHM BASE64 comment`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let algorithm = words.next()?;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "@.-_".contains(c);
        let encoded = words.next().filter(|word| word.len() <= 2 * MAX_SIZE)?;
        let blob = STANDARD.decode(encoded).ok()?;
        let is_whole = key_blob::fields(&blob, algorithm).is_some();
        let is_key = algorithm.chars().all(is_allowed) && is_whole && blob.len() <= MAX_SIZE;
        is_key.then(|| Self { algorithm: algorithm.to_owned(), blob })
    }

    /// The key for ssh, `ALGORITHM BASE64`, without a comment.
    pub fn line(&self) -> String {
        format!("{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }

    /// The fingerprint `SHA256:…`, as ssh shows it.
    pub fn fingerprint(&self) -> String {
        key_blob::fingerprint(&self.blob)
    }

    /// Checks that `fingerprint`, which a user typed, is that of this key.
    ///
    /// # Errors
    /// `HostKey` for that of another key, and `Usage` for a text that is no fingerprint.
    pub fn check_fingerprint(&self, fingerprint: &str) -> Result<()> {
        let own = self.fingerprint();
        if fingerprint == own {
            return Ok(());
        }
        if !fingerprint.starts_with("SHA256:") || fingerprint.len() != own.len() {
            return Err(failure!(
                Usage, "`{fingerprint}` is no fingerprint";
                hint: "pass it as `ssh-keygen -lf` prints it: SHA256: and 43 characters"
            ));
        }
        Err(failure!(
            HostKey, "the host answers with the key {own}, which is not {fingerprint}";
            hint: "compare the address; if it is that of your host, another machine answers in its place"
        ))
    }
}

/// The fingerprint of the key in `text`, for messages.
pub fn fingerprint_of(text: &str) -> String {
    KnownKey::parse(text).map_or_else(|| "an unreadable key".to_owned(), |key| key.fingerprint())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";
    const FINGERPRINT: &str = "SHA256:hDnkBipv08ZX2EQJwP4gN2mLnwYd4ZMyo6oUsECY7mY";

    #[test]
    fn a_key_has_the_fingerprint_of_ssh() {
        let key = KnownKey::parse(&format!("{LINE} comment")).unwrap();
        assert_eq!((key.line().as_str(), key.fingerprint().as_str()), (LINE, FINGERPRINT));
        for text in [
            "",
            "ssh-ed25519",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIKCc",
            "a b",
            "ssh-ed25519 ?",
            &LINE[..LINE.len() - 4],
        ] {
            assert_eq!(KnownKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn another_fingerprint_is_refused() {
        let key = KnownKey::parse(LINE).unwrap();
        key.check_fingerprint(FINGERPRINT).unwrap();
        let other = FINGERPRINT.replace('h', "i");
        for (text, expected) in
            [(other.as_str(), ExitKind::HostKey), ("SHA256:x", ExitKind::Usage), ("MD5:00", ExitKind::Usage)]
        {
            assert_eq!(kind(&key.check_fingerprint(text).unwrap_err()), expected, "{text}");
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&[LINE, &format!("{LINE} pi\n")], |text| {
            let key = KnownKey::parse(text)?;
            assert_eq!(KnownKey::parse(&key.line()).as_ref(), Some(&key));
            Some(key.fingerprint())
        });
    }
}
