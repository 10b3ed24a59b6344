//! The folders of the project: the repository, its state folder, and the tools that `setup` installed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The repository, whose flake is the default: the repository that this tool was built from, or, where it is gone (a tool
/// built by Nix), the nearest folder with a `flake.nix` from the working directory upwards.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        nearest(built_from, &here)
    });
    &ROOT
}

fn nearest(built_from: &Path, here: &Path) -> PathBuf {
    let mut folders = std::iter::once(built_from).chain(here.ancestors());
    folders.find(|folder| folder.join("flake.nix").exists()).unwrap_or(here).to_owned()
}

/// The state folder of this checkout, outside git: receipts, known hosts, staged builds. `XTASK_STATE` names another folder.
pub fn state_dir() -> PathBuf {
    let named = env_path("XTASK_STATE").and_then(|path| std::path::absolute(path).ok());
    named.unwrap_or_else(|| root().join(".xtask"))
}

/// The folder where `setup` installs tools for the user, shared by all checkouts. `XTASK_TOOLS` names another folder.
pub fn tools_dir() -> PathBuf {
    let data =
        || env_path("XDG_DATA_HOME").or_else(|| env_path("HOME").map(|home| home.join(".local/share")));
    env_path("XTASK_TOOLS").unwrap_or_else(|| data().unwrap_or_else(state_dir).join("nixos-pi-xtask"))
}

/// The path in the environment variable `name`; `None` where it is unset or empty.
fn env_path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The scheme of a flake reference to a folder with all its files, also those that git ignores.
const PATH_SCHEME: &str = "path:";

/// The flake reference in the form of Nix: a path becomes absolute, also after `path:`, so that it is valid in any working
/// directory; other references stay as they are.
pub fn flake_ref(given: Option<&str>) -> String {
    let Some(given) = given else { return root().display().to_string() };
    let scheme_length = if given.starts_with(PATH_SCHEME) { PATH_SCHEME.len() } else { 0 };
    let (scheme, location) = given.split_at(scheme_length);
    let is_path = !scheme.is_empty()
        || location.starts_with(['.', '/'])
        || Path::new(location).join("flake.nix").exists();
    match std::path::absolute(OsStr::new(location)) {
        Ok(path) if is_path => format!("{scheme}{}", path.display()),
        _ => given.to_owned(),
    }
}

/// The folder that a flake reference names; for the URL of a remote flake, a path that does not exist.
pub fn flake_dir(flake: &str) -> PathBuf {
    let path = ["git+file://", "path:", "file://"].iter().find_map(|scheme| flake.strip_prefix(scheme));
    let path = path.unwrap_or(flake);
    PathBuf::from(path.split_once(['?', '#']).map_or(path, |(path, _)| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_flake_references() {
        for (flake, dir) in [
            ("/src/cluster", "/src/cluster"),
            ("path:/src/cluster?dir=nix", "/src/cluster"),
            ("git+file:///src/cluster?ref=main#x", "/src/cluster"),
            ("github:owner/cluster", "github:owner/cluster"),
        ] {
            assert_eq!(flake_dir(flake), Path::new(dir), "{flake}");
        }
    }

    #[test]
    fn a_tool_without_its_repository_works_on_the_one_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().join("hosts/pi");
        std::fs::create_dir_all(&here).unwrap();
        let gone = Path::new("/no/such/build/folder");
        assert_eq!(nearest(gone, &here), here);
        std::fs::write(dir.path().join("flake.nix"), "").unwrap();
        assert_eq!(nearest(gone, &here), dir.path());
        assert_eq!(nearest(root(), &here), root());
    }

    #[test]
    fn flake_references() {
        assert_eq!(flake_ref(None), root().display().to_string());
        assert_eq!(flake_ref(Some("/etc/nixos")), "/etc/nixos");
        assert_eq!(flake_ref(Some("github:owner/name")), "github:owner/name");
        let here = std::env::current_dir().unwrap();
        let here = here.display();
        assert_eq!(flake_ref(Some("./flake")), format!("{here}/flake"));
        assert_eq!(flake_ref(Some("path:flake?narHash=x")), format!("path:{here}/flake?narHash=x"));
        assert_eq!(flake_ref(Some("path:.")), format!("path:{here}"));
        assert_eq!(flake_ref(Some("path:/f")), "path:/f");
    }
}
