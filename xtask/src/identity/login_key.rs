//! Public ssh keys that users log in with, as in `id_ed25519.pub` and `authorized_keys`.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Serialize;

use super::key_blob;
use crate::base::Plain;
use crate::{bail, failure};

/// The algorithms of keys that sshd takes today, with their short names.
const ALGORITHMS: &[(&str, &str)] = &[
    ("ssh-ed25519", "ed25519"),
    ("ssh-rsa", "rsa"),
    ("ecdsa-sha2-nistp256", "ecdsa"),
    ("ecdsa-sha2-nistp384", "ecdsa"),
    ("ecdsa-sha2-nistp521", "ecdsa"),
    ("sk-ssh-ed25519@openssh.com", "ed25519-sk"),
    ("sk-ecdsa-sha2-nistp256@openssh.com", "ecdsa-sk"),
];

/// The fewest bytes of the modulus of an RSA key: sshd takes no key of less than 1024 bits.
const MIN_RSA: usize = 128;

/// A public key that a user logs in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoginKey {
    /// The short name of the algorithm.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `SHA256:…`.
    fingerprint: String,
    comment: String,
    /// The line of `authorized_keys`, without options.
    #[serde(skip)]
    line: String,
}

impl LoginKey {
    /// Parses `ssh-ed25519 AAAA… comment`, also behind the options of `authorized_keys`; `None` for anything else,
    /// which sshd skips too.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') || line.chars().any(|char| char.is_control() && char != '\t') {
            return None;
        }
        Self::parse_plain(line).or_else(|| Self::parse_plain(&line[options_len(line)..]))
    }

    /// Parses a key without options.
    fn parse_plain(text: &str) -> Option<Self> {
        let (algorithm, rest) = text.trim_start().split_once([' ', '\t'])?;
        let (_, kind) = ALGORITHMS.iter().find(|(name, _)| *name == algorithm)?;
        let rest = rest.trim_start();
        let (encoded, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        let blob = STANDARD.decode(encoded).ok()?;
        let comment = comment.trim().to_owned();
        is_whole(algorithm, &key_blob::fields(&blob, algorithm)?).then(|| Self {
            kind,
            fingerprint: key_blob::fingerprint(&blob),
            line: format!("{algorithm} {encoded} {comment}").trim_end().to_owned(),
            comment,
        })
    }

    /// The key in a few words: its algorithm, and its comment or else its fingerprint.
    pub fn summary(&self) -> String {
        let name = if self.comment.is_empty() { &self.fingerprint } else { &self.comment };
        format!("{} {}", self.kind, Plain(name))
    }

    /// The line of `authorized_keys`, without options.
    pub fn line(&self) -> &str {
        &self.line
    }
}

/// Whether `fields` are those of a key of `algorithm` (RFC 4253, 5656 and 8709, and `PROTOCOL.u2f` of OpenSSH), with
/// the sizes that sshd takes.
fn is_whole(algorithm: &str, fields: &[&[u8]]) -> bool {
    // An uncompressed point has two coordinates after its first byte.
    let is_point = |curve: &[u8], point: &[u8]| {
        let length = match curve {
            b"nistp256" => 65,
            b"nistp384" => 97,
            b"nistp521" => 133,
            _ => return false,
        };
        let name = algorithm.split('@').next().unwrap_or_default();
        name.as_bytes().ends_with(curve) && point.len() == length
    };
    match fields {
        [key] => algorithm == "ssh-ed25519" && key.len() == 32,
        [exponent, modulus] if algorithm == "ssh-rsa" => !exponent.is_empty() && modulus.len() >= MIN_RSA,
        [key, application] if algorithm.starts_with("sk-ssh") => key.len() == 32 && !application.is_empty(),
        [curve, point] => algorithm.starts_with("ecdsa") && is_point(curve, point),
        [curve, point, application] => {
            algorithm.starts_with("sk-ecdsa") && is_point(curve, point) && !application.is_empty()
        }
        _ => false,
    }
}

/// The length of the options in front of the key in `line`: they end at the first blank outside of quotes.
fn options_len(line: &str) -> usize {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, char) in line.char_indices() {
        match char {
            '"' if !is_escaped => is_quoted = !is_quoted,
            ' ' | '\t' if !is_quoted => return at,
            _ => {}
        }
        is_escaped = char == '\\' && !is_escaped;
    }
    line.len()
}

/// The keys in `text`, the content of an `authorized_keys`. Lines that sshd would skip are skipped.
pub fn login_keys_in(text: &str) -> Vec<LoginKey> {
    text.lines().filter_map(LoginKey::parse).collect()
}

/// The keys in `text`, the content of the file `name` of public keys.
///
/// # Errors
/// `Refused` for a private key, and for a line that is no public key.
pub fn parse_public_keys(name: &str, text: &str) -> Result<Vec<LoginKey>> {
    let name = Plain(name);
    if text.contains("PRIVATE KEY-----") || text.starts_with("PuTTY-User-Key-File") {
        bail!(
            Refused, "--ssh-key {name} is a private key, which belongs on no card";
            hint: "pass the public key, such as {name}.pub; `ssh-keygen -y -f {name}` prints it"
        );
    }
    if text.contains("BEGIN SSH2 PUBLIC KEY") {
        bail!(
            Refused, "--ssh-key {name} is in the format of SSH2, which sshd of OpenSSH does not read";
            hint: "run `ssh-keygen -i -f {name}`, and pass a file with what it prints"
        );
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let no_key = || {
        failure!(
            Refused, "--ssh-key {name} is no public ssh key";
            hint: "pass a file such as ~/.ssh/id_ed25519.pub, whose line begins with `ssh-ed25519`; `ssh-keygen -t \
                   ed25519` makes one"
        )
    };
    let is_plain = |line: &&str| !line.chars().any(|char| char.is_control() && char != '\t');
    let keys =
        lines.map(|line| Some(line).filter(is_plain).and_then(LoginKey::parse_plain).ok_or_else(no_key));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    if keys.is_empty() { Err(no_key()) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, hint, kind};

    /// Made by `ssh-keygen -C 'a b'`, whose fingerprint `ssh-keygen -l` printed.
    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw";
    const FINGERPRINT: &str = "SHA256:hDnkBipv08ZX2EQJwP4gN2mLnwYd4ZMyo6oUsECY7mY";

    #[test]
    fn a_key_is_found_with_and_without_options_and_comment() {
        for (line, summary) in [
            (format!("{ED25519} a b"), "ed25519 a b".to_owned()),
            (format!("  {ED25519}\t pi\r"), "ed25519 pi".to_owned()),
            (ED25519.to_owned(), format!("ed25519 {FINGERPRINT}")),
            (format!("restrict,command=\"a \\\"b\\\" ssh-rsa\" {ED25519} x"), "ed25519 x".to_owned()),
            (format!("{ED25519} a\u{202e}b"), "ed25519 a\\u{202e}b".to_owned()),
        ] {
            let key = LoginKey::parse(&line).unwrap();
            assert_eq!(key.summary(), summary);
            assert_eq!(key.fingerprint, FINGERPRINT);
            assert!(key.line().starts_with(ED25519), "{}", key.line());
        }
    }

    #[test]
    fn lines_that_sshd_skips_are_no_keys() {
        let text = format!(
            "# {ED25519}\n\nssh-ed25519 AAAA\nssh-dss AAAA x\nssh-rsa {}\nnonsense\n",
            &ED25519[12..]
        );
        assert_eq!(login_keys_in(&text), []);
        assert_eq!(login_keys_in(&format!("{text}{ED25519} a\n{ED25519} b\n")).len(), 2);
    }

    /// A key whose fields have these lengths, after its algorithm and `texts`.
    fn key(algorithm: &str, texts: &[&str], lengths: &[usize]) -> String {
        let keys = lengths.iter().map(|length| vec![7; *length]);
        let fields =
            std::iter::once(&algorithm).chain(texts).map(|text| text.as_bytes().to_vec()).chain(keys);
        let blob = fields
            .flat_map(|field| [&u32::try_from(field.len()).unwrap().to_be_bytes()[..], &field[..]].concat());
        format!("{algorithm} {}", STANDARD.encode(blob.collect::<Vec<_>>()))
    }

    #[test]
    fn a_key_of_each_algorithm_is_whole_or_no_key() {
        let [sk_ed25519, sk_ecdsa] = ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"];
        for (algorithm, texts, lengths) in [
            ("ssh-ed25519", &[][..], &[32][..]),
            ("ssh-rsa", &[], &[3, 257]),
            ("ecdsa-sha2-nistp256", &["nistp256"], &[65]),
            ("ecdsa-sha2-nistp384", &["nistp384"], &[97]),
            ("ecdsa-sha2-nistp521", &["nistp521"], &[133]),
            (sk_ed25519, &[], &[32, 4]),
            (sk_ecdsa, &["nistp256"], &[65, 4]),
        ] {
            let whole = key(algorithm, texts, lengths);
            assert!(LoginKey::parse(&whole).is_some(), "{whole}");
            // Four digits are three bytes: the rest is still base64, as it would be after a careless copy.
            for cut in (4..whole.len() - algorithm.len()).step_by(4) {
                let cut = &whole[..whole.len() - cut];
                assert_eq!(LoginKey::parse(cut.trim_end_matches('=')), None, "{cut}");
            }
        }
        for (algorithm, texts, lengths) in [
            ("ssh-ed25519", &[][..], &[31][..]),
            ("ssh-ed25519", &[], &[32, 4]),
            ("ssh-rsa", &[], &[3, 96]),
            ("ecdsa-sha2-nistp256", &["nistp384"], &[97]),
            ("ecdsa-sha2-nistp256", &["nistp256"], &[64]),
            (sk_ecdsa, &["nistp384"], &[97, 4]),
            (sk_ed25519, &[], &[32]),
        ] {
            assert_eq!(LoginKey::parse(&key(algorithm, texts, lengths)), None, "{algorithm} {lengths:?}");
        }
    }

    #[test]
    fn a_file_of_public_keys_has_nothing_else() {
        let file = format!("# mine\n{ED25519} a\n\n{ED25519} b\n");
        assert_eq!(parse_public_keys("k.pub", &file).unwrap().len(), 2);
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n";
        for (text, expected) in [
            (private, "--ssh-key k is a private key, which belongs on no card"),
            (
                "PuTTY-User-Key-File-3: ssh-ed25519\n",
                "--ssh-key k is a private key, which belongs on no card",
            ),
            (
                "---- BEGIN SSH2 PUBLIC KEY ----\n",
                "--ssh-key k is in the format of SSH2, which sshd of OpenSSH does not read",
            ),
            ("", "--ssh-key k is no public ssh key"),
            ("# none\n", "--ssh-key k is no public ssh key"),
            (&format!("{ED25519} a\nnonsense\n"), "--ssh-key k is no public ssh key"),
            (&format!("{ED25519} a\x1b[2Jb\n"), "--ssh-key k is no public ssh key"),
            (&format!("command=\"x\" {ED25519} a\n"), "--ssh-key k is no public ssh key"),
        ] {
            let error = parse_public_keys("k", text).unwrap_err();
            assert_eq!((error.to_string().as_str(), kind(&error)), (expected, ExitKind::Refused));
            assert!(hint(&error).is_some());
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&[ED25519, &format!("a=\"b \" {ED25519} c")], |text| {
            let key = LoginKey::parse(text)?;
            assert_eq!(LoginKey::parse(key.line()).as_ref(), Some(&key));
            Some(key.summary())
        });
    }
}
