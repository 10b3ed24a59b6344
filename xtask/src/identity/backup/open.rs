//! Decrypting a backup, by a passphrase or by private keys.

use std::io::{BufReader, Read};
use std::path::Path;

use age::secrecy::SecretString;
use age::ssh;
use age::{DecryptError, Decryptor, Identity, IdentityFile, scrypt};
use anyhow::{Context, Result};

use super::{MAX_SIZE, MAX_WORK_FACTOR};
use crate::base::bounded::{self, Links};
use crate::{bail, failure};

/// The maximum size of a file with private keys, in bytes.
const MAX_KEY_FILE: u64 = 1 << 20;

/// What decrypts a backup.
pub enum Opening {
    Passphrase(SecretString),
    Keys(AgeKeys),
}

/// Unlocks a key of ssh by a passphrase; `None` where the passphrase is another.
type Unlock<'a> = dyn Fn(SecretString) -> Option<ssh::Identity> + 'a;

/// Private keys of age and of ssh.
#[derive(Default)]
pub struct AgeKeys {
    keys: Vec<Box<dyn Identity>>,
}

impl AgeKeys {
    /// Reads the keys in `files`. `ask` asks for the passphrase of a key of ssh that has one, and returns what unlocks
    /// by it; `None` where the passphrase is another.
    ///
    /// # Errors
    /// `Refused` for a file without a usable key.
    pub fn read(
        files: &[impl AsRef<Path>],
        ask: impl Fn(&Path, &Unlock) -> Result<Option<ssh::Identity>>,
    ) -> Result<Self> {
        let mut keys = Self::default();
        for file in files.iter().map(AsRef::as_ref) {
            keys.add(file, &ask).with_context(|| format!("reading the age identity {}", file.display()))?;
        }
        Ok(keys)
    }

    fn add(
        &mut self,
        file: &Path,
        ask: impl Fn(&Path, &Unlock) -> Result<Option<ssh::Identity>>,
    ) -> Result<()> {
        let bytes = bounded::read(file, MAX_KEY_FILE, Links::Follow)
            .map_err(|error| bounded::named_file_error(file, error))?;
        if !bytes.starts_with(b"-----BEGIN") {
            return self.add_age_keys(&bytes);
        }
        let key = ssh::Identity::from_buffer(&bytes[..], None).map_err(
            |_| failure!(Refused, "it is no key of ssh"; hint: "name an ed25519 key of ssh, or a key of age"),
        )?;
        // RSA decrypts in a time that depends on the key.
        let is_ed25519 = matches!(ssh::Recipient::try_from(key.clone()), Ok(ssh::Recipient::SshEd25519(..)));
        match key {
            _ if !is_ed25519 => {
                bail!(Refused, "its kind of key cannot decrypt"; hint: "name an ed25519 key of ssh, or a key of age")
            }
            ssh::Identity::Unencrypted(_) => self.keys.push(Box::new(key)),
            ssh::Identity::Encrypted(locked) => {
                let unlocked =
                    ask(file, &|passphrase| locked.decrypt(passphrase).ok().map(ssh::Identity::from))?;
                let unlocked = unlocked.ok_or_else(|| failure!(Refused, "its passphrase is another"))?;
                self.keys.push(Box::new(unlocked));
            }
            ssh::Identity::Unsupported(_) => {
                bail!(Refused, "its kind of key cannot decrypt"; hint: "name an ed25519 key of ssh, or a key of age")
            }
        }
        Ok(())
    }

    fn add_age_keys(&mut self, bytes: &[u8]) -> Result<()> {
        let no_key = || {
            failure!(
                Refused, "it has no private key";
                hint: "name a file of age-keygen, or the private ed25519 key of ssh without `.pub`"
            )
        };
        // The error of the parser would quote a line.
        let keys = IdentityFile::from_buffer(bytes)
            .and_then(|file| file.into_identities().map_err(|_| std::io::Error::other("no key")));
        let keys = keys.map_err(|_| no_key())?;
        if keys.is_empty() {
            return Err(no_key());
        }
        self.keys.extend(keys.into_iter().map(|key| key as Box<dyn Identity>));
        Ok(())
    }
}

/// Whether the backup `sealed` is encrypted to a passphrase.
///
/// # Errors
/// `Refused` for bytes that age has not written, or not to their end.
pub fn is_for_passphrase(sealed: &[u8]) -> Result<bool> {
    Ok(decryptor(sealed)?.is_scrypt())
}

fn decryptor(sealed: &[u8]) -> Result<Decryptor<&[u8]>> {
    if sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") {
        bail!(Refused, "the file is armored, as by `age -a`"; hint: "decrypt it by `age -d`, and encrypt it without `-a`");
    }
    Decryptor::new_buffered(sealed).map_err(|error| match error {
        DecryptError::UnknownFormat => {
            failure!(Refused, "the file has a newer format of age"; hint: "use a newer version of this tool")
        }
        _ if sealed.starts_with(b"age-encryption.org/") => truncated_error(),
        _ => failure!(Refused, "the file is no backup of identities"; hint: "name a file of `cargo xtask identity backup`"),
    })
}

/// Decrypts the backup `sealed`; `None` where its passphrase or its keys are others. The content has at most
/// [`MAX_SIZE`] bytes.
///
/// # Errors
/// `Refused` for a damaged or truncated file.
pub fn open(sealed: &[u8], opening: &Opening) -> Result<Option<Vec<u8>>> {
    let decryptor = decryptor(sealed)?;
    let passphrase_key;
    let keys: Vec<&dyn Identity> = match opening {
        Opening::Passphrase(passphrase) => {
            let mut key = scrypt::Identity::new(passphrase.clone());
            key.set_max_work_factor(MAX_WORK_FACTOR);
            passphrase_key = key;
            vec![&passphrase_key]
        }
        Opening::Keys(keys) => keys.keys.iter().map(AsRef::as_ref).collect(),
    };
    let reader = match decryptor.decrypt(keys.into_iter()) {
        Ok(reader) => reader,
        Err(
            DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys,
        ) => return Ok(None),
        Err(error) => return Err(decrypt_error(&error)),
    };
    let mut plain = Vec::new();
    BufReader::new(reader).take(MAX_SIZE).read_to_end(&mut plain).map_err(|_| truncated_error())?;
    Ok(Some(plain))
}

/// The error of age in the words of this tool.
fn decrypt_error(error: &DecryptError) -> anyhow::Error {
    match error {
        DecryptError::ExcessiveWork { required, .. } => failure!(
            Refused, "the passphrase of the file would take 2^{required} rounds of work, more than this tool does";
            hint: "decrypt a file that you trust by `age -d`"
        ),
        _ => truncated_error(),
    }
}

fn truncated_error() -> anyhow::Error {
    failure!(Refused, "the backup is damaged or not complete; nothing was changed"; hint: "take another copy of the file")
}
