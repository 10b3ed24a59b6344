//! Refuses flakes with inputs that name the private keys of hosts. When Nix locks or uses a flake, it copies each
//! folder that an input names to its store. The modes of the keys keep Nix from reading the keys, even as root
//! ([`Launcher::protecting_keys`]); this module finds the input that names the keys.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::FEATURES;
use super::eval::{run_json, with_keep_lock};
use crate::bail;
use crate::base::process::Launcher;
use crate::base::{FlakeRef, Silent, percent_encoding};

/// Locks `flake` in memory alone, with the user's `options` for Nix. Only a tool that runs as root needs this. Refuses
/// inputs that name the folder `keys`, a path in it or a folder around it. Returns the locked reference of a flake that
/// is not on this machine, as this reference always names the flake that was checked; `None` for a flake on this
/// machine, and for a flake that no commit identifies.
///
/// # Errors
/// `Refused` for an input that names the keys; the error of Nix where Nix cannot read the flake or an input.
pub fn lock_without_keys(
    launcher: &Launcher,
    flake: &FlakeRef,
    options: &[String],
    keys: &Path,
) -> Result<Option<FlakeRef>> {
    let options = with_keep_lock(options);
    let options = options.iter().map(String::as_str).collect::<Vec<_>>();
    let args = [&FEATURES[..], &["flake", "metadata", "--json"], &options, &[flake.as_str()]].concat();
    let metadata = run_json(launcher, &args, flake, flake.folder(), &Silent)?;
    let culprit = local_inputs(&metadata).find(|input| overlaps(&input.path, keys));
    if let Some(LocalInput { name, path }) = culprit {
        bail!(
            Refused,
            "the input `{name}` of the flake names {}: nix would copy the private keys of hosts in {} to its store, where \
             everybody can read them",
            path.display(),
            keys.display();
            hint: "remove the input from flake.nix and flake.lock"
        );
    }
    let locked = &metadata["locked"];
    let is_remote = locked["rev"].is_string() && local_path(locked).is_none();
    let url = metadata["url"].as_str().filter(|_| is_remote);
    Ok(url.map(FlakeRef::of_url))
}

/// An input that names a path on this machine.
#[derive(Debug, PartialEq, Eq)]
struct LocalInput {
    name: String,
    path: PathBuf,
}

/// The inputs with absolute paths in the lock of `metadata`, the output of `nix flake metadata --json`. A relative path
/// stays within its flake.
fn local_inputs(metadata: &Value) -> impl Iterator<Item = LocalInput> + '_ {
    let nodes = metadata["locks"]["nodes"].as_object().into_iter().flatten();
    let references = nodes.flat_map(|(name, node)| [(name, &node["locked"]), (name, &node["original"])]);
    references
        .filter_map(|(name, reference)| Some(LocalInput { name: name.clone(), path: local_path(reference)? }))
}

/// The absolute path that the flake reference `reference` of a lock names; `None` where it names no absolute path.
fn local_path(reference: &Value) -> Option<PathBuf> {
    let path = match reference["path"].as_str() {
        Some(path) => PathBuf::from(path),
        None => file_url_path(reference["url"].as_str()?)?,
    };
    path.is_absolute().then_some(path)
}

/// The path in the URL of a file, with or without a host, such as `file:///a` and `tarball+file:/a`; `None` for other
/// URLs.
fn file_url_path(url: &str) -> Option<PathBuf> {
    let (scheme, rest) = url.split_once(':')?;
    let is_file = scheme.rsplit('+').next().is_some_and(|last| last.eq_ignore_ascii_case("file"));
    let rest = rest.split(['?', '#']).next().filter(|_| is_file)?;
    let path = match rest.strip_prefix("//") {
        Some(authority) => &authority[authority.find('/')?..],
        None => rest,
    };
    Some(PathBuf::from(OsStr::from_bytes(&percent_encoding::decode(path))))
}

/// Whether `path` is the folder `keys`, a path in `keys` or a folder around `keys`, through any link and mount.
fn overlaps(path: &Path, keys: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    is_or_contains(&path, keys) || is_or_contains(keys, &path)
}

/// Whether `folder` is `path` or a folder around `path`, by their inodes. False where `folder` does not exist.
fn is_or_contains(folder: &Path, path: &Path) -> bool {
    let Some(folder_id) = file_id(folder) else { return false };
    path.ancestors().any(|ancestor| file_id(ancestor) == Some(folder_id))
}

/// The device and the inode that identify the file at `path`; `None` where it does not exist.
fn file_id(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|stat| (stat.dev(), stat.ino()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::fuzz;

    #[test]
    fn a_reference_to_a_file_or_folder_of_this_machine_has_its_path() {
        for (reference, expected) in [
            (json!({ "type": "path", "path": "/a/b" }), Some("/a/b")),
            (json!({ "type": "path", "path": "./b" }), None),
            (json!({ "type": "file", "url": "file:///a/%62" }), Some("/a/b")),
            (json!({ "type": "tarball", "url": "file:///a?x=1" }), Some("/a")),
            (json!({ "type": "tarball", "url": "tarball+FILE:///a" }), Some("/a")),
            (json!({ "type": "file", "url": "file://localhost/a#x" }), Some("/a")),
            (json!({ "type": "file", "url": "file:/a" }), Some("/a")),
            (json!({ "type": "file", "url": "file://host" }), None),
            (json!({ "type": "tarball", "url": "https://example.org/a" }), None),
            (json!({ "type": "github", "owner": "a", "repo": "b" }), None),
            (json!(null), None),
        ] {
            assert_eq!(local_path(&reference), expected.map(PathBuf::from), "{reference}");
        }
    }

    #[test]
    fn the_local_inputs_of_a_lock_are_found() {
        let metadata = json!({ "locks": { "nodes": {
            "root": { "inputs": { "a": "a" } },
            "a": { "locked": { "type": "path", "path": "/a" }, "original": { "type": "indirect", "id": "a" } },
            "b": { "locked": { "type": "github" }, "original": { "type": "file", "url": "file:///b" } }
        } } });
        let input = |name: &str, path: &str| LocalInput { name: name.into(), path: path.into() };
        assert_eq!(local_inputs(&metadata).collect::<Vec<_>>(), [input("a", "/a"), input("b", "/b")]);
        assert_eq!(local_inputs(&json!({})).count(), 0);
    }

    #[test]
    fn a_path_above_or_below_the_keys_overlaps_them() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("state/identity/pi")).unwrap();
        std::fs::create_dir_all(at("state/other")).unwrap();
        std::os::unix::fs::symlink(at("state"), at("link")).unwrap();
        let keys = at("state/identity");
        for (path, expected) in [
            ("state/identity", true),
            ("state/identity/pi", true),
            ("state/other/../identity/pi", true),
            ("state", true),
            ("link", true),
            ("link/identity/pi", true),
            ("", true),
            ("state/other", false),
            ("link/other", false),
            ("nowhere", false),
        ] {
            assert_eq!(overlaps(&at(path), &keys), expected, "{path}");
        }
        assert!(overlaps(Path::new("/"), &keys));
        assert!(overlaps(&Path::new("/proc/self/root").join(&keys), &keys));
    }

    #[test]
    fn fuzz() {
        fuzz::check_text(&["file:///a/%62?x=1", "tarball+file:/a", "path:/a"], |text| {
            drop(file_url_path(text));
        });
    }
}
