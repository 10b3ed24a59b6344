//! Paths in the Nix store.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Plain;

const STORE: &str = "/nix/store/";
/// The number of characters of the hash in front of a name.
const HASH_LENGTH: usize = 32;

/// A store path without anything below it: `/nix/store/HASH-NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct StorePath(String);

impl TryFrom<String> for StorePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = Self::containing(&text).filter(|path| path.0 == text);
        path.ok_or_else(|| format!("`{}` is no store path", Plain(&text)))
    }
}

impl StorePath {
    /// The store path that the path `text` is or lies in; `None` where `text` is no path in the store.
    pub fn containing(text: &str) -> Option<Self> {
        let hash_and_name = text.strip_prefix(STORE)?.split('/').next()?;
        let (hash, rest) = hash_and_name.split_at_checked(HASH_LENGTH)?;
        let name = rest.strip_prefix('-')?;
        let is_hash_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte);
        let is_valid = hash.bytes().all(is_hash_byte) && !name.is_empty() && name.bytes().all(is_name_byte);
        is_valid.then(|| Self(format!("{STORE}{hash_and_name}")))
    }

    /// The store path of a derivation that `text` is; `None` for any other text, also for a path below a store path.
    pub fn of_derivation(text: &str) -> Option<Self> {
        Self::containing(text).filter(|path| path.0 == text && path.name().strip_suffix(".drv").is_some())
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash, by which a binary cache names the path.
    pub fn hash(&self) -> &str {
        &self.0[STORE.len()..STORE.len() + HASH_LENGTH]
    }

    /// The name after the hash.
    pub fn name(&self) -> &str {
        &self.0[STORE.len() + HASH_LENGTH + 1..]
    }

    /// Whether the path is in the store of this machine.
    pub fn exists(&self) -> bool {
        Path::new(&self.0).exists()
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_the_hash() {
        let path = StorePath::containing("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-curl-8.1/bin").unwrap();
        assert_eq!(path.name(), "curl-8.1");
    }

    #[test]
    fn a_store_path_is_the_hash_and_the_name_at_the_start_of_a_text() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nixos-system-stinky-26.05";
        for (text, expected) in [
            (path, Some(path)),
            (&format!("{path}/activate"), Some(path)),
            ("/nix/store", None),
            ("/nix/store/short-name", None),
            ("/run/current-system", None),
            ("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a b", None),
            ("/nix/store/0123456789abcdfghijklmnpqrsvwxyz", None),
        ] {
            let found = StorePath::containing(text);
            assert_eq!(found.as_ref().map(StorePath::as_str), expected, "{text}");
        }
    }

    #[test]
    fn a_file_has_whole_store_paths_only() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x";
        let read =
            |text: &str| serde_json::from_value::<StorePath>(text.into()).map_err(|error| error.to_string());
        assert_eq!(read(path).unwrap().as_str(), path);
        for text in
            [&format!("{path}/y"), "/nix/store/x", "/etc/passwd", "", "--option", &format!("{path}\u{1b}")]
        {
            assert!(read(text).unwrap_err().ends_with("` is no store path"), "{text}");
        }
    }

    #[test]
    fn only_the_whole_path_of_a_derivation_is_one() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x";
        for (text, expected) in [
            (format!("{path}.drv"), true),
            (path.to_owned(), false),
            (format!("{path}.drv/"), false),
            (format!("{path}.drv/y.drv"), false),
            (format!("{path}/y.drv"), false),
            (format!("{path}.drv^out"), false),
            (format!("{path}#y.drv"), false),
            (format!(" {path}.drv"), false),
        ] {
            assert_eq!(StorePath::of_derivation(&text).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn fuzz() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nixos-system-stinky-26.05/activate";
        crate::base::fuzz::check_text(&[path], |text| {
            let found = StorePath::containing(text);
            // The path is printed and passed to programs: it contains only the characters of a store path.
            let plain = |c: char| c.is_ascii_alphanumeric() || "+-._?=/".contains(c);
            assert!(found.as_ref().is_none_or(|path| path.as_str().chars().all(plain)), "{found:?}");
            found.map(|path| path.name().len())
        });
    }
}
