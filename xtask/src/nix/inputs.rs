//! Refuses flakes with inputs that name the private keys of hosts. Nix copies a folder that an input names to its store
//! when it locks or uses the flake. The modes of the keys keep it from reading them, even as root
//! ([`Launcher::protecting_keys`]); this module finds the input that names them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::FEATURES;
use super::eval::{json, keeping_lock};
use crate::bail;
use crate::base::process::Launcher;
use crate::base::{FlakeRef, Silent, percent_encoding};

/// Locks `flake` as root, in memory alone, with the user's `options` for Nix, and refuses inputs that name `keys`, a path in it or a folder around it.
/// Returns the locked reference of a flake that is not on this machine: it always names the flake that was checked.
///
/// # Errors
/// `Refused` for such an input; the error of Nix where it cannot read something.
pub fn lock_without_keys(
    launcher: &Launcher,
    flake: &FlakeRef,
    options: &[String],
    keys: &Path,
) -> Result<Option<FlakeRef>> {
    let options = keeping_lock(options);
    let options = options.iter().map(String::as_str).collect::<Vec<_>>();
    let args = [&FEATURES[..], &["flake", "metadata", "--json"], &options, &[flake.as_str()]].concat();
    let metadata = json(launcher, &args, flake, flake.folder(), &Silent)?;
    let found = inputs(&metadata).find(|input| covers(&input.path, keys));
    if let Some(Input { name, path }) = found {
        bail!(
            Refused,
            "the input `{name}` of the flake names {}: nix would copy the private keys of hosts in {} to its store, where \
             everybody can read them",
            path.display(),
            keys.display();
            hint: "remove the input from flake.nix and flake.lock"
        );
    }
    let is_remote = metadata["locked"]["rev"].is_string() && !is_local(&metadata["locked"]);
    Ok(metadata["url"].as_str().filter(|_| is_remote).map(FlakeRef::of_url))
}

/// An input that names a path on this machine.
#[derive(Debug, PartialEq, Eq)]
struct Input {
    name: String,
    path: PathBuf,
}

/// The inputs with absolute paths in the lock of `metadata`, the output of `nix flake metadata --json`. A relative path
/// stays within its flake.
fn inputs(metadata: &Value) -> impl Iterator<Item = Input> + '_ {
    let nodes = metadata["locks"]["nodes"].as_object().into_iter().flatten();
    let references = nodes.flat_map(|(name, node)| ["locked", "original"].map(|part| (name, &node[part])));
    references
        .filter_map(|(name, reference)| Some(Input { name: name.clone(), path: local_path(reference)? }))
}

/// The absolute path that the reference to an input names.
fn local_path(reference: &Value) -> Option<PathBuf> {
    let path = match reference["path"].as_str() {
        Some(path) => PathBuf::from(path),
        None => file_url_path(reference["url"].as_str()?)?,
    };
    path.is_absolute().then_some(path)
}

/// The path in a URL of a file, with or without a host, such as `file:///a`, `tarball+file:/a`.
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

fn is_local(reference: &Value) -> bool {
    local_path(reference).is_some()
}

/// Whether `path` is `keys`, something in it, or a folder around it, through any link and mount.
fn covers(path: &Path, keys: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let around = keys.ancestors().filter_map(inode).collect::<HashSet<_>>();
    let keys_inode = inode(keys);
    let target = inode(&path);
    target.is_some_and(|target| around.contains(&target))
        || keys_inode.is_some() && path.ancestors().any(|folder| inode(folder) == keys_inode)
}

/// The device and inode that identify the file.
fn inode(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|stat| (stat.dev(), stat.ino()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::fuzz;

    #[test]
    fn paths_of_references() {
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
    fn inputs_of_a_lock() {
        let metadata = json!({ "locks": { "nodes": {
            "root": { "inputs": { "a": "a" } },
            "a": { "locked": { "type": "path", "path": "/a" }, "original": { "type": "indirect", "id": "a" } },
            "b": { "locked": { "type": "github" }, "original": { "type": "file", "url": "file:///b" } }
        } } });
        let input = |name: &str, path: &str| Input { name: name.into(), path: path.into() };
        assert_eq!(inputs(&metadata).collect::<Vec<_>>(), [input("a", "/a"), input("b", "/b")]);
        assert_eq!(inputs(&json!({})).count(), 0);
    }

    #[test]
    fn paths_that_cover_the_keys() {
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
            assert_eq!(covers(&at(path), &keys), expected, "{path}");
        }
        assert!(covers(Path::new("/"), &keys) && covers(&Path::new("/proc/self/root").join(&keys), &keys));
    }

    #[test]
    fn fuzz() {
        fuzz::check_text(&["file:///a/%62?x=1", "tarball+file:/a", "path:/a"], |text| {
            drop(file_url_path(text));
        });
    }
}
