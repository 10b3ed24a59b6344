//! The URL of a binary cache, as `nix copy --to` and the setting `substituters` of Nix take it.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;

use super::redact;
use crate::bail;

/// The kinds of stores that can serve hosts.
const SCHEMES: &[&str] = &["file", "http", "https", "s3", "ssh", "ssh-ng"];

/// The kinds of stores that keep compressed files.
const COMPRESSING: &[&str] = &["file", "http", "https", "s3"];

/// The URL of a binary cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheUrl(String);

impl CacheUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses a URL with a secret: it would be an argument here and on hosts, where every user sees it.
    ///
    /// # Errors
    /// `Usage` for a login of a web address, for any password, and for a parameter that is named after a secret.
    pub fn require_no_secret(&self) -> Result<()> {
        if redact::without_passwords(&self.0) == self.0 {
            return Ok(());
        }
        bail!(
            Usage, "the URL of the cache has a login or a secret, which every user of a host could read: {self}";
            hint: "leave it out: Nix reads logins from the file of its setting `netrc-file`, and those of s3 from \
                   ~/.aws/credentials, here and on the hosts; `--cache-key` names the key that signs"
        )
    }

    /// The kind of the store, such as `http`.
    fn scheme(&self) -> &str {
        self.0.split("://").next().unwrap_or_default()
    }

    /// Whether the cache is a folder.
    pub fn is_folder(&self) -> bool {
        self.scheme() == "file"
    }

    /// The absolute path of a cache that is a folder; `None` for another cache.
    pub fn folder(&self) -> Option<&str> {
        self.0.strip_prefix("file://")?.split('?').next()
    }

    /// Whether ssh reaches the cache.
    pub fn is_ssh(&self) -> bool {
        self.scheme().starts_with("ssh")
    }

    /// The URL by which paths are pushed: compressed by zstd, unless the URL names a compression. The default of Nix,
    /// xz, takes many times as long.
    pub fn for_push(&self) -> String {
        if !COMPRESSING.contains(&self.scheme()) || self.0.contains("compression=") {
            return self.0.clone();
        }
        let separator = if self.0.contains('?') { '&' } else { '?' };
        format!("{}{separator}compression=zstd", self.0)
    }
}

impl fmt::Display for CacheUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact::without_passwords(&self.0))
    }
}

impl FromStr for CacheUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scheme = text.split_once("://").filter(|(_, rest)| !rest.is_empty()).map(|(scheme, _)| scheme);
        if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
            return Err("must be the URL of a binary cache: file:///FOLDER, http://…, https://…, s3://…, \
                        ssh-ng://… or ssh://…");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("must have no spaces: Nix takes them for the end of a URL");
        }
        if let Some(path) = text.strip_prefix("file://") {
            if !path.starts_with('/') {
                return Err("must have the absolute path of a folder, as in file:///srv/cache");
            }
            if path.contains('%') {
                return Err(
                    "must have no `%`: some parts of Nix decode it in the path of a folder, others do not",
                );
            }
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, kind};

    #[test]
    fn urls_of_caches_are_accepted_and_others_refused() {
        for (text, is_accepted) in [
            ("file:///srv/cache", true),
            ("http://desk:8080", true),
            ("https://cache.example.org/pis?priority=10", true),
            ("s3://pis?region=eu-west-1&endpoint=minio:9000", true),
            ("ssh-ng://nix@nas", true),
            ("/srv/cache", false),
            ("file://srv/cache", false),
            ("file:///srv/my%20cache", false),
            ("http://", false),
            ("daemon", false),
            ("local?root=/x", false),
            ("--option", false),
            ("http://a http://b", false),
            ("http://a\nb", false),
        ] {
            assert_eq!(text.parse::<CacheUrl>().is_ok(), is_accepted, "{text}");
        }
    }

    #[test]
    fn a_url_with_a_secret_is_refused_and_not_shown() {
        for (text, has_secret) in [
            ("http://desk:8080", false),
            ("ssh-ng://nix@nas", false),
            ("s3://pis?profile=push&region=x", false),
            ("http://me:pw@desk", true),
            ("https://tok3n-pw@desk", true),
            ("ssh-ng://nix:pw@nas", true),
            ("s3://pis?secret-key=pw", true),
            ("https://desk/?access_token=pw", true),
        ] {
            let checked = text.parse::<CacheUrl>().unwrap().require_no_secret();
            assert_eq!(checked.is_err(), has_secret, "{text}");
            if let Err(error) = checked {
                assert_eq!(kind(&error), ExitKind::Usage);
                assert!(!error.to_string().contains("pw"), "{error}");
            }
        }
    }

    #[test]
    fn paths_are_pushed_with_a_quick_compression() {
        for (text, expected) in [
            ("file:///srv/cache", "file:///srv/cache?compression=zstd"),
            ("s3://pis?region=x", "s3://pis?region=x&compression=zstd"),
            ("http://desk?compression=xz", "http://desk?compression=xz"),
            ("ssh-ng://nas", "ssh-ng://nas"),
        ] {
            assert_eq!(text.parse::<CacheUrl>().unwrap().for_push(), expected);
        }
    }

    #[test]
    fn a_folder_is_known_by_its_path() {
        for (text, expected) in [
            ("file:///srv/cache", Some("/srv/cache")),
            ("file:///srv/cache?compression=xz", Some("/srv/cache")),
            ("http://desk/srv", None),
        ] {
            assert_eq!(text.parse::<CacheUrl>().unwrap().folder(), expected, "{text}");
        }
    }

    #[test]
    fn fuzz() {
        crate::base::fuzz::check_text(&["s3://pis?region=x", "http://me:pw@desk"], |text| {
            text.parse::<CacheUrl>().map(|url| {
                (url.folder().map(str::len), url.for_push(), url.to_string(), url.require_no_secret().is_ok())
            })
        });
    }
}
