//! Binary caches that are a folder of each host. Nix makes a folder that is not there, and then misses each path in it:
//! where a folder is not mounted, a cache of nothing would lie below its place. So a host looks before Nix does.

use super::error::{LACKED_IN_FOLDER, NO_CACHE_IN_FOLDER};
use super::store_path::StorePath;
use crate::base::shell;

/// The command line that runs `fetch` on a host, if the host has a binary cache with `path` in `folder`. Otherwise it
/// prints which of the two is missing. `prefix` makes a command root, if anything. Another user than root may not see
/// what the daemon of Nix sees: then `fetch` is run in any case.
pub fn checked(prefix: &str, folder: &str, path: &StorePath, fetch: &str) -> String {
    let folder = folder.trim_end_matches('/');
    let is_root = if prefix.is_empty() { "test \"$(id -u)\" = 0 && " } else { "" };
    let lacks =
        |file: &str| format!("{is_root}{prefix}test ! -e {}", shell::quote(&format!("{folder}/{file}")));
    let print = |text: &str| format!("echo {} >&2", shell::quote(text));
    let script = format!(
        "if {}; then {}; elif {}; then {}; else {fetch}; fi",
        lacks("nix-cache-info"),
        print(&format!("{NO_CACHE_IN_FOLDER}{folder}")),
        lacks(&format!("{}.narinfo", path.hash())),
        print(&format!("{LACKED_IN_FOLDER}{folder} lacks {path}"))
    );
    format!("sh -c {}", shell::quote(&script))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::process::Launcher;

    /// What `checked` prints and whether it runs the fetch, for a folder with these files.
    fn run(files: &[&str], prefix: &str) -> (String, String) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("the cache");
        for file in files {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), "").unwrap();
        }
        let path = StorePath::containing("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x").unwrap();
        let name = folder.display().to_string();
        let command = checked(prefix, &name, &path, "echo 'it fetches' | cat");
        let output = Launcher::new("/").capture("sh", &["-c", &command]).unwrap();
        let text = |printed: &str| printed.trim().replace(&name, "FOLDER");
        assert_eq!(folder.exists(), !files.is_empty(), "the check makes nothing");
        (text(&output.stdout), text(&output.stderr))
    }

    #[test]
    fn nix_is_run_only_where_the_folder_has_the_system() {
        let narinfo = "0123456789abcdfghijklmnpqrsvwxyz.narinfo";
        let lacks = "the binary cache that this host has in FOLDER lacks /nix/store/0123456789abcdfghijklmnpqrsvwxyz-x";
        for (files, stdout, stderr) in [
            (&[][..], "", "this host has no binary cache in FOLDER"),
            (&["other"], "", "this host has no binary cache in FOLDER"),
            (&["nix-cache-info"], "", lacks),
            (&["nix-cache-info", narinfo], "it fetches", ""),
        ] {
            assert_eq!(run(files, "env "), (stdout.to_owned(), stderr.to_owned()), "{files:?}");
        }
        // sudo that refuses the check refuses the fetch too, in its own words.
        assert_eq!(run(&[], "false ").0, "it fetches");
    }
}
