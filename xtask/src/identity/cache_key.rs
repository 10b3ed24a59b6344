//! The cache key: the private key that signs the store paths that are deployed. A host takes signed paths from a binary
//! cache, and from a user whom its Nix does not trust.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::access::{ReadableFolder, require_private};
use super::{Secret, folder};
use crate::base::bounded::{self, Links};
use crate::base::state;
use crate::{bail, failure};

/// The folder of the key of the project, beside the folders of hosts. No host has this name.
const FOLDER: &str = ".cache-key";
/// The file of the key of the project.
pub(super) const FILE: &str = "cache_key";
/// The maximum size of a key file, in bytes.
const MAX_SIZE: u64 = 4096;
/// The bytes of the private half of an ed25519 key, which its public half follows.
const PRIVATE_BYTES: usize = 32;
/// The bytes of both halves.
const KEY_BYTES: usize = 64;

/// A key as `nix key generate-secret` makes it: `NAME:BASE64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheKey {
    secret: Secret,
    public: String,
}

impl CacheKey {
    /// The file of the key of the project with the state folder `state`, which may not exist.
    pub fn path(state: &Path) -> PathBuf {
        folder(state).join(FOLDER).join(FILE)
    }

    /// Whether the project with the state folder `state` has a folder for its key.
    pub fn has_folder(state: &Path) -> bool {
        folder(state).join(FOLDER).is_dir()
    }

    /// Reads the key of the project; `None` where it has none. The folder is readable only meanwhile.
    ///
    /// # Errors
    /// `Refused` for a file that others can access, or that is no key.
    pub fn of_project(state: &Path) -> Result<Option<Self>> {
        let file = Self::path(state);
        let dir = folder(state).join(FOLDER);
        if !Self::has_folder(state) {
            return Ok(None);
        }
        let readable = ReadableFolder::open(&dir)?;
        if !file.exists() {
            return Ok(None);
        }
        require_private(&file, "600")?;
        let content = state::read(&file, MAX_SIZE)?.with_context(|| format!("{} is gone", file.display()))?;
        drop(readable);
        Self::parse(content, &file).map(Some)
    }

    /// Reads the key in `file`, which the user names.
    ///
    /// # Errors
    /// `Refused` for a file that others can access, or that is no key; `Io` for one that cannot be read.
    pub fn read(file: &Path) -> Result<Self> {
        let doing = || format!("reading the cache key {}", file.display());
        let target = file.canonicalize().with_context(doing)?;
        require_private(&target, "600")?;
        let content = bounded::read(&target, MAX_SIZE, Links::Refuse).with_context(doing)?;
        Self::parse(content, file)
    }

    /// Keeps the key `secret` as that of the project with the state folder `state`.
    ///
    /// # Errors
    /// `Refused` where the project has a key already, or where `secret` is no key.
    pub fn keep(state: &Path, secret: Vec<u8>) -> Result<Self> {
        let file = Self::path(state);
        let key = Self::parse(secret, &file)?;
        let dir = folder(state).join(FOLDER);
        state::create_private_folder(&dir)?;
        let _readable = ReadableFolder::open(&dir)?;
        if state::write_new(&file, key.secret.reveal())? {
            return Ok(key);
        }
        bail!(Refused, "the project has a cache key already: {}", file.display(); hint: "run the command again")
    }

    /// Parses the `content` of `file`.
    fn parse(content: Vec<u8>, file: &Path) -> Result<Self> {
        let public = public_half(&content).ok_or_else(|| {
            failure!(
                Refused, "{} is no private key of Nix: NAME:BASE64 in one line", file.display();
                hint: "`nix key generate-secret --key-name NAME` makes one"
            )
        })?;
        Ok(Self { secret: Secret::new(content), public })
    }

    /// The content of the file, for the Nix that signs.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The public key, `NAME:BASE64`, which hosts trust by their `trusted-public-keys`.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The name of the key, by which Nix finds the public key of a signature.
    pub fn name(&self) -> &str {
        self.public.split(':').next().unwrap_or_default()
    }
}

/// The public key of the private key `content`; `None` where that is no private key.
fn public_half(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?.trim_end();
    let (name, encoded) = text.split_once(':')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-+@".contains(c));
    let bytes = STANDARD.decode(encoded).ok().filter(|bytes| is_name && bytes.len() == KEY_BYTES)?;
    Some(format!("{name}:{}", STANDARD.encode(&bytes[PRIVATE_BYTES..])))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::failure::{ExitKind, kind};

    /// A key whose bytes are 0 to 63.
    fn key_text(name: &str) -> String {
        format!("{name}:{}\n", STANDARD.encode((0..64).collect::<Vec<u8>>()))
    }

    #[test]
    fn the_public_key_is_the_second_half() {
        let key = CacheKey::parse(key_text("desk-1").into(), Path::new("/k")).unwrap();
        assert_eq!(key.public(), format!("desk-1:{}", STANDARD.encode((32..64).collect::<Vec<u8>>())));
        assert_eq!(key.name(), "desk-1");
        assert!(!format!("{key:?}").contains(&STANDARD.encode((0..64).collect::<Vec<u8>>())));
    }

    #[test]
    fn other_files_are_no_keys_and_are_not_quoted() {
        let public = format!("desk-1:{}", STANDARD.encode([7; 32]));
        for content in
            ["", "desk-1", ":AAAA", "desk-1:*", &public, "-----BEGIN OPENSSH PRIVATE KEY-----", "a b:AA"]
        {
            let error = CacheKey::parse(content.into(), Path::new("/k")).unwrap_err();
            assert_eq!(
                error.to_string(),
                "/k is no private key of Nix: NAME:BASE64 in one line",
                "{content}"
            );
        }
        assert!(CacheKey::parse(vec![0xff; 100], Path::new("/k")).is_err());
    }

    #[test]
    fn the_key_of_a_project_is_kept_once_and_closed_at_rest() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join(".xtask");
        assert_eq!(CacheKey::of_project(&state).unwrap(), None);
        let kept = CacheKey::keep(&state, key_text("desk-1").into()).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder(&state).join(FOLDER)), 0);
        assert_eq!(CacheKey::of_project(&state).unwrap(), Some(kept));
        assert_eq!(mode(&folder(&state).join(FOLDER)), 0);
        let again = CacheKey::keep(&state, key_text("desk-2").into()).unwrap_err();
        assert_eq!(kind(&again), ExitKind::Refused);
        assert_eq!(CacheKey::of_project(&state).unwrap().unwrap().name(), "desk-1");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        fs::write(&file, key_text("desk-1")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(kind(&CacheKey::read(&file).unwrap_err()), ExitKind::Refused);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(CacheKey::read(&file).unwrap().name(), "desk-1");
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&[&key_text("desk-1")], |text| public_half(text.as_bytes()));
    }
}
