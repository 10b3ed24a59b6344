//! The variables of the environment that the tool reads, for the help. docs/output.md has the same list.

/// Each variable with its meaning.
pub const VARIABLES: &[(&str, &str)] = &[
    ("XTASK_FLAKE", "the flake to work on, where --flake names none"),
    ("XTASK_STATE", "keys, receipts, logs (default: .xtask of the flake)"),
    ("XTASK_CACHE_KEY", "the file of the key that signs what is deployed"),
    ("XTASK_KEEP_CONNECTIONS", "the seconds that `status` keeps connections open"),
    ("XTASK_TOOLS", "what `setup` installs (default: in XDG_DATA_HOME)"),
    ("XTASK_UBOOT", "the U-Boot by which `boot` starts the machine virt"),
    ("XDG_STATE_HOME", "the parent of other state (default: ~/.local/state)"),
    ("XDG_DATA_HOME", "the parent of XTASK_TOOLS (default: ~/.local/share)"),
    ("NO_COLOR", "set and not empty: no colours"),
    ("CLICOLOR, CLICOLOR_FORCE", "0: no colours; force, not empty: also in a pipe"),
    ("TERM", "dumb: plain lines without progress"),
    ("LC_ALL, LC_CTYPE, LANG", "the characters of the output: ASCII, or UTF-8"),
    ("NIX_CONFIG, NIX_…", "as for nix, which gets them"),
    ("RESTIC_…", "as for restic, by which `restore` reads backups"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// The names that begin with `XTASK_` as string literals in `text`.
    fn own_variables(text: &str) -> impl Iterator<Item = &str> {
        let literals = text.split('"').skip(1).step_by(2);
        literals.filter(|word| {
            let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
            word.strip_prefix("XTASK_").is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_name))
        })
    }

    #[test]
    fn the_help_and_the_documents_list_all_own_variables() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::<PathBuf>::new();
        crate::wings_tests::append_sources(&root.join("src"), &mut files);
        // Development reads other variables, which CONTRIBUTING.md has.
        let of_tests = ["fuzz.rs", "reference_tests.rs", "schema_tests.rs"];
        let is_of_tests = |file: &Path| of_tests.iter().any(|name| file.ends_with(name));
        files.retain(|file| !file.starts_with(root.join("src/dev")) && !is_of_tests(file));
        let texts = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect::<Vec<_>>();
        let found = texts.iter().flat_map(|text| own_variables(text)).collect::<BTreeSet<_>>();
        let listed = VARIABLES.iter().map(|(names, _)| *names).collect::<BTreeSet<_>>();
        assert!(found.len() >= 3 && found.is_subset(&listed), "{found:?}");
        let document = fs::read_to_string(root.join("../docs/output.md")).unwrap();
        for (names, _) in VARIABLES {
            assert!(document.contains(&format!("| `{names}` |")), "{names} is not in docs/output.md");
        }
    }
}
