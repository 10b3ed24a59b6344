//! Which file pins the key of a host: the project's `known_hosts`, or the published one beside `flake.nix`.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::key::PublicKey;
use super::known_hosts::KnownHosts;
use super::known_key::fingerprint_of;
use super::published::PublishedHosts;
use crate::bail;
use crate::base::{FlakeRef, HostName};

/// The `known_hosts` file that pins the key of `host`: that of the project, in the state folder `state`, or else the
/// published one of `flake`. `None` where neither has the host. The file is for ssh's option `UserKnownHostsFile`, with
/// the name of the host as `HostKeyAlias`.
///
/// # Errors
/// `HostKey` where both have the host, and no key is the same; `Refused` for a file that cannot be used.
pub fn pinned_file(state: &Path, flake: &FlakeRef, host: &HostName) -> Result<Option<PathBuf>> {
    Ok(pinned_keys(state, flake, host)?.map(|(file, _)| file))
}

/// The file of [`pinned_file`], with the keys that it has of `host`.
fn pinned_keys(state: &Path, flake: &FlakeRef, host: &HostName) -> Result<Option<(PathBuf, Vec<String>)>> {
    let own = KnownHosts::of(&super::folder(state));
    let own_keys = own.keys_of(host)?;
    let Some(published) = PublishedHosts::of(flake) else {
        return Ok((!own_keys.is_empty()).then_some((own.path, own_keys)));
    };
    let published_keys = published.keys_of(host)?;
    match (&own_keys[..], &published_keys[..]) {
        ([], []) => Ok(None),
        ([], _) => Ok(Some((published.path().to_owned(), published_keys))),
        (_, []) => Ok(Some((own.path, own_keys))),
        (_, _) if own_keys.iter().any(|key| published_keys.contains(key)) => Ok(Some((own.path, own_keys))),
        ([own_key, ..], [published_key, ..]) => bail!(
            HostKey,
            "two keys of {host} are known: {} in {}, and {} in {}",
            fingerprint_of(own_key), own.path.display(), fingerprint_of(published_key), published.path().display();
            hint: "compare them with the key on the host; for the first run `cargo xtask identity publish {host:#}`, for \
                   the second `cargo xtask identity trust --published {host:#}`"
        ),
    }
}

/// The ed25519 key of a host, as it is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedKey {
    pub host: HostName,
    /// The `known_hosts` file that has the key under the name of the host.
    pub known_hosts: PathBuf,
    /// `SHA256:…`.
    pub fingerprint: String,
}

/// The ed25519 key of `host` in the file of [`pinned_file`]; `None` where there is no such key.
///
/// # Errors
/// As for [`pinned_file`].
pub fn pinned_key(state: &Path, flake: &FlakeRef, host: &HostName) -> Result<Option<PinnedKey>> {
    let Some((known_hosts, keys)) = pinned_keys(state, flake, host)? else { return Ok(None) };
    let key = keys.iter().find_map(|key| PublicKey::parse(key));
    Ok(key.map(|key| PinnedKey { host: host.clone(), known_hosts, fingerprint: key.fingerprint() }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::failure::{ExitKind, kind, with_hint};
    use crate::identity::known_hosts::NewKeys;

    const KEYS: [&str; 2] = [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKCcGufY3wZYjbxCpm9xo3W2XeGl1+70HxLJuItPZBaw",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA8Zi3n7QmQeAeBK3r2lT8pGkTzQZLD8CGSrjZ6bVj4t",
    ];

    #[test]
    fn one_file_pins_a_host_and_two_keys_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [flake, state] = ["flake", "state"].map(|name| dir.path().join(name));
        fs::create_dir(&flake).unwrap();
        fs::write(flake.join("flake.nix"), "{ }").unwrap();
        let published = flake.join("known_hosts");
        let own = KnownHosts::of(&crate::identity::folder(&state));
        let pinned = || pinned_file(&state, &FlakeRef::of_folder(&flake), &"pi".into());
        let publish = |text: &str| fs::write(&published, text).unwrap();
        assert_eq!(pinned().unwrap(), None);
        publish(&format!("pi {}\n", KEYS[0]));
        assert_eq!(pinned().unwrap().as_ref(), Some(&published));
        own.set_all(&NewKeys::from([("pi".into(), vec![KEYS[0].into()])])).unwrap();
        assert_eq!(pinned().unwrap().as_ref(), Some(&own.path));
        publish(&format!("pi {}\npi {} with a comment\n", KEYS[1], KEYS[0]));
        assert_eq!(pinned().unwrap().as_ref(), Some(&own.path));
        publish(&format!("pi {}\n", KEYS[1]));
        let error = pinned().unwrap_err();
        assert_eq!(kind(&error), ExitKind::HostKey);
        assert!(with_hint(&error).starts_with("two keys of pi are known: SHA256:hDnkBip"), "{error}");
        publish("other a b\n");
        assert_eq!(pinned().unwrap().as_ref(), Some(&own.path));
    }
}
