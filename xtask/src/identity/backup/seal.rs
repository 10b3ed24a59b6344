//! Encrypting a backup, to a passphrase or to recipients.

use std::io::Write;
use std::path::Path;

use age::secrecy::{ExposeSecret, SecretString};
use age::{Encryptor, Recipient, scrypt, ssh, x25519};
use anyhow::{Context, Result};

use super::WORK_FACTOR;
use crate::base::bounded::{self, Links};
use crate::{bail, failure};

/// The maximum size of a file with recipients, in bytes.
const MAX_RECIPIENTS_FILE: u64 = 1 << 20;
/// The fewest characters of a passphrase: whoever has the file can try passphrases without end.
const MIN_PASSPHRASE: usize = 12;

/// To what a backup is encrypted.
pub enum Sealing {
    Passphrase(SecretString),
    Recipients(Recipients),
}

/// The public keys to which a backup is encrypted.
#[derive(Default)]
pub struct Recipients {
    keys: Vec<Box<dyn Recipient>>,
}

impl Recipients {
    /// Reads the `words` of the command line, and the lines of `files`.
    ///
    /// # Errors
    /// `Usage` for a text that is no recipient.
    pub fn read(words: &[String], files: &[impl AsRef<Path>]) -> Result<Self> {
        let mut recipients = Self::default();
        for word in words {
            recipients.keys.push(parse(word)?);
        }
        for file in files.iter().map(AsRef::as_ref) {
            recipients.add_lines(file)?;
        }
        Ok(recipients)
    }

    /// Adds the lines of `file`; comments and empty lines count for nothing.
    fn add_lines(&mut self, file: &Path) -> Result<()> {
        let doing = || format!("reading the recipients in {}", file.display());
        let bytes = bounded::read(file, MAX_RECIPIENTS_FILE, Links::Follow)
            .map_err(|error| bounded::named_file_error(file, error))
            .with_context(doing)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let before = self.keys.len();
        for line in lines {
            self.keys.push(parse(line).with_context(doing)?);
        }
        if self.keys.len() == before {
            bail!(Usage, "{} has no recipient", file.display(); hint: "put an age1… or ssh-ed25519 key on each line");
        }
        Ok(())
    }

    /// The number of keys.
    pub fn count(&self) -> usize {
        self.keys.len()
    }
}

/// The recipient in `text`.
fn parse(text: &str) -> Result<Box<dyn Recipient>> {
    if text.starts_with("AGE-SECRET-KEY-") || text.starts_with("-----BEGIN") {
        // A part of the secret is not shown.
        bail!(Usage, "a recipient is a private key"; hint: "pass the public key: `age-keygen -y FILE`, or the file ending in .pub");
    }
    if let Ok(recipient) = text.parse::<x25519::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if let Ok(recipient @ ssh::Recipient::SshEd25519(..)) = text.parse::<ssh::Recipient>() {
        return Ok(Box::new(recipient));
    }
    Err(failure!(
        Usage, "`{text}` is no recipient of a backup";
        hint: "pass age1… of age-keygen, or an ed25519 key of ssh as 'ssh-ed25519 AAAA…'"
    ))
}

/// Checks that `passphrase` is long enough for a new backup.
///
/// # Errors
/// `Refused` for a shorter one.
pub fn check_passphrase(passphrase: &SecretString) -> Result<()> {
    if passphrase.expose_secret().chars().count() < MIN_PASSPHRASE {
        bail!(
            Refused, "the passphrase has fewer than {MIN_PASSPHRASE} characters";
            hint: "whoever finds the file can try passphrases without end: take five or more words"
        );
    }
    Ok(())
}

/// Encrypts `plain`.
///
/// # Errors
/// Where no random bytes can be had.
pub fn seal(plain: &[u8], sealing: &Sealing) -> Result<Vec<u8>> {
    let passphrase_recipient;
    let keys: Vec<&dyn Recipient> = match sealing {
        Sealing::Passphrase(passphrase) => {
            let mut recipient = scrypt::Recipient::new(passphrase.clone());
            recipient.set_work_factor(WORK_FACTOR);
            passphrase_recipient = recipient;
            vec![&passphrase_recipient]
        }
        Sealing::Recipients(recipients) => recipients.keys.iter().map(AsRef::as_ref).collect(),
    };
    let encryptor = Encryptor::with_recipients(keys.into_iter())
        .map_err(|error| failure!(Other, "the backup cannot be encrypted: {error}"))?;
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).context("encrypting the backup")?;
    writer.write_all(plain).context("encrypting the backup")?;
    writer.finish().context("encrypting the backup")?;
    Ok(sealed)
}
