//! The remedies for faults of binary caches that no waiting mends.

use super::fetch::{FetchFault, FetchFaultKind, LACKED_IN_FOLDER, NO_CACHE_IN_FOLDER};

/// Where the Nix runs that could not use a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheClient<'a> {
    /// On this machine.
    Here,
    /// On this host.
    Host(&'a str),
}

/// A remedy in words.
type Remedy = fn(CacheClient<'_>) -> String;

/// The remedy for each text that a Nix prints; the first that occurs counts. Seen with Nix 2.26.3 and 2.34.8.
const REMEDIES: &[(&str, Remedy)] = &[
    ("don't know how to open Nix store", missing_kind),
    ("SSL peer certificate", unknown_authority),
    (NO_CACHE_IN_FOLDER, unmounted_folder),
    (LACKED_IN_FOLDER, unmounted_folder),
    ("HTTP error 401", refused_login),
    ("HTTP error 403", refused_login),
];

/// The remedy for `fault` of `client`, if there is one.
pub fn find(fault: &FetchFault, client: CacheClient<'_>) -> Option<String> {
    if let (FetchFaultKind::Unsigned, CacheClient::Host(host)) = (fault.kind, client) {
        return Some(format!(
            "let {host} trust the cache key, which `cargo xtask identity cache-key` prints: by \
             `nix.settings.trusted-public-keys`, or a file in hosts/common/cache"
        ));
    }
    let found = REMEDIES.iter().find(|(text, _)| fault.message.contains(text));
    found.map(|(_, remedy)| remedy(client))
}

/// A Nix that was built without a kind of cache. That of Debian has no s3.
fn missing_kind(client: CacheClient<'_>) -> String {
    match client {
        CacheClient::Here => {
            "the Nix of this machine has no such caches, as that of Debian has no s3: push to \
                              another URL, such as `--push-to ssh-ng://…`, or use another Nix"
                .to_owned()
        }
        CacheClient::Host(_) => {
            "let the hosts read the cache as a web page: `--via-cache https://…`, with the \
                                 other URL behind `--push-to`"
                .to_owned()
        }
    }
}

/// A certificate that nobody vouches for whom the Nix knows.
fn unknown_authority(client: CacheClient<'_>) -> String {
    match client {
        CacheClient::Here => {
            "add the certificate of the cache's authority to the file that `ssl-cert-file` in \
                              nix.conf names, or NIX_SSL_CERT_FILE"
                .to_owned()
        }
        CacheClient::Host(host) => {
            format!(
                "add the certificate of the cache's authority to `security.pki.certificateFiles` of {host}"
            )
        }
    }
}

/// A folder that is that of the cache here, and not on the host.
fn unmounted_folder(client: CacheClient<'_>) -> String {
    let host = match client {
        CacheClient::Here => "each host",
        CacheClient::Host(host) => host,
    };
    format!(
        "mount the folder of the cache on {host} at the same path, or let a web server give it to the hosts: \
         `--via-cache http://…`, with the folder behind `--push-to`"
    )
}

/// A cache that wants a login, or another one.
fn refused_login(client: CacheClient<'_>) -> String {
    let place = match client {
        CacheClient::Here => "this machine".to_owned(),
        CacheClient::Host(host) => format!("root on {host}"),
    };
    format!(
        "give {place} a login: Nix reads it from the file of its setting `netrc-file`, and for s3 from \
         ~/.aws/credentials, which the Nix of Debian does not read"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_no_waiting_mends_has_a_remedy_for_who_met_it() {
        let hint = |message: &str, client| {
            let kind = FetchFaultKind::Unreachable;
            find(&FetchFault { kind, message: message.to_owned() }, client)
        };
        for (message, here, on_host) in [
            (
                "don't know how to open Nix store with scheme 's3'",
                "--push-to ssh-ng://",
                "--via-cache https://",
            ),
            (
                "unable to download 'https://h/x': SSL peer certificate or SSH remote key was not OK (60)",
                "`ssl-cert-file` in nix.conf",
                "`security.pki.certificateFiles` of pi",
            ),
            ("unable to download 'http://h/x': HTTP error 401", "give this machine a login", "root on pi"),
            ("unable to upload 'http://h/x': HTTP error 403", "`netrc-file`", "~/.aws/credentials"),
            ("this host has no binary cache in /mnt/cache", "on each host at", "on pi at the same path"),
            ("the binary cache that this host has in /mnt/x lacks /nix/store/a-x", "`--push-to`", "on pi at"),
        ] {
            assert!(hint(message, CacheClient::Here).is_some_and(|text| text.contains(here)), "{message}");
            let text = hint(message, CacheClient::Host("pi"));
            assert!(text.is_some_and(|text| text.contains(on_host)), "{message}");
        }
        assert_eq!(hint("unable to download 'http://h/x': HTTP error 502", CacheClient::Here), None);
        assert_eq!(hint("Could not resolve hostname (6)", CacheClient::Host("pi")), None);
    }
}
