//! Public ed25519 keys, with their forms for ssh, their fingerprints and their age recipients.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::edwards::CompressedEdwardsY;

use super::key_blob;
use crate::failure;

const ALGORITHM: &str = "ssh-ed25519";

/// A public ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The wire format (RFC 8709): the name of the algorithm and the point, each after its length.
    blob: Vec<u8>,
    /// The point of the curve (RFC 8032).
    point: [u8; 32],
}

impl PublicKey {
    /// Parses `ssh-ed25519 AAAA… comment`, the content of a `.pub` file; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        if words.next()? != ALGORITHM {
            return None;
        }
        let blob = STANDARD.decode(words.next()?).ok()?;
        let prefix = [&11_u32.to_be_bytes()[..], ALGORITHM.as_bytes(), &32_u32.to_be_bytes()].concat();
        let point = blob.strip_prefix(&prefix[..])?.try_into().ok()?;
        Some(Self { blob, point })
    }

    /// The key for ssh, `ssh-ed25519 AAAA…`, without a comment.
    pub fn line(&self) -> String {
        format!("{ALGORITHM} {}", STANDARD.encode(&self.blob))
    }

    /// The fingerprint `SHA256:…`, as ssh shows it.
    pub fn fingerprint(&self) -> String {
        key_blob::fingerprint(&self.blob)
    }

    /// The age recipient `age1…` of this key: texts that are encrypted to it are decrypted with the private key, as the
    /// host does by sops-nix or agenix.
    ///
    /// # Errors
    /// `Refused` for bytes that are not a point of the curve.
    pub fn age_recipient(&self) -> Result<String> {
        let point = CompressedEdwardsY(self.point).decompress();
        let point = point.ok_or_else(|| failure!(Refused, "the key is not a point of its curve"))?;
        let name = bech32::Hrp::parse("age").context("writing an age recipient")?;
        bech32::encode::<bech32::Bech32>(name, &point.to_montgomery().to_bytes())
            .context("writing an age recipient")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `ssh-keygen -t ed25519 -C pi`. `ssh-keygen -l` printed the fingerprint. The recipient was computed from
    /// the private key with X25519 of OpenSSL; age has decrypted a text with that key that it had encrypted to the
    /// recipient.
    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";
    const FINGERPRINT: &str = "SHA256:hDnkBipv08ZX2EQJwP4gN2mLnwYd4ZMyo6oUsECY7mY";
    const RECIPIENT: &str = "age1rudxc36n2yr4z8m7af0af92slf76ztc4fkv8wu2eak7plslasavq8az80z";

    #[test]
    fn a_key_has_its_fingerprint_and_its_recipient() {
        for text in [LINE.to_owned(), format!("{LINE} pi\n"), format!("  {LINE}  a b\n")] {
            let key = PublicKey::parse(&text).unwrap();
            assert_eq!(key.line(), LINE);
            assert_eq!(key.fingerprint(), FINGERPRINT);
            assert_eq!(key.age_recipient().unwrap(), RECIPIENT);
        }
    }

    #[test]
    fn other_texts_are_no_keys() {
        let short = format!("{} pi", &LINE[..LINE.len() - 4]);
        for text in ["", "ssh-ed25519", "ssh-ed25519 ?", &LINE.replace("ed25519", "rsa"), &short] {
            assert_eq!(PublicKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_off_its_curve_has_no_recipient() {
        let mut key = PublicKey::parse(LINE).unwrap();
        key.point = [2; 32];
        assert_eq!(key.age_recipient().unwrap_err().to_string(), "the key is not a point of its curve");
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&[LINE, &format!("{LINE} pi\n")], |text| {
            let key = PublicKey::parse(text)?;
            assert_eq!(PublicKey::parse(&key.line()).as_ref(), Some(&key));
            Some((key.fingerprint(), key.age_recipient().is_ok()))
        });
    }
}
