//! Errors of Nix for which the user's arguments for Nix are at fault, and not the flake.

use std::path::Path;

/// The options that put another flake in the place of the one that they name first.
const OVERRIDES: &[&str] = &["--override-input", "--override-flake"];

/// Whether `stderr` is the error for one of the `args` of Nix: for a path that an argument names, other than the
/// `folder` of the flake, or for an input that an argument overrides.
pub fn are_at_fault(stderr: &str, args: &[&str], folder: Option<&Path>) -> bool {
    names_argument(stderr, args, folder) || overridden(args).any(|input| is_of_input(stderr, input))
}

/// The inputs that `args` override.
fn overridden<'a>(args: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let pairs = args.windows(2).filter(|pair| OVERRIDES.contains(&pair[0]));
    pairs.map(|pair| pair[1])
}

/// Whether the trace in `stderr` leads to `input` of the flake.
fn is_of_input(stderr: &str, input: &str) -> bool {
    stderr.contains(&format!("while updating the flake input '{input}'"))
}

/// Whether the path that Nix did not find is that of an argument. Nix resolves a relative one.
fn names_argument(stderr: &str, args: &[&str], folder: Option<&Path>) -> bool {
    let missing = stderr.lines().filter_map(|line| {
        let rest = line.split_once("getting status of '")?.1;
        rest.split_once("': No such file or directory").map(|(path, _)| Path::new(path))
    });
    let others = missing.filter(|path| folder.is_none_or(|folder| !folder.starts_with(path)));
    others.into_iter().any(|path| args.iter().any(|word| names(word, path)))
}

/// Whether `word` names `path`: as a flake, and from any folder where `word` is relative.
fn names(word: &str, path: &Path) -> bool {
    let word = word.strip_prefix("path:").unwrap_or(word);
    let mut plain = word.split(['?', '#']).next().unwrap_or_default();
    while let Some(rest) = plain.strip_prefix("../").or_else(|| plain.strip_prefix("./")) {
        plain = rest;
    }
    !plain.is_empty() && !word.starts_with('-') && path.ends_with(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_at_fault_for_its_path_and_for_its_input() {
        let missing = "error: getting status of '/tmp/e/nope': No such file or directory";
        let of_input = "error:\n   … while updating the flake input 'dep'\n\n   error: path '//tmp/e/nope' does not exist";
        for (stderr, args, expected) in [
            (missing, "--override-input nixpkgs ../nope", true),
            (missing, "--override-input nixpkgs ./sub/../nope", false),
            (missing, "--override-input nixpkgs /tmp/e/nope", true),
            (missing, "--override-input nixpkgs path:/tmp/e/nope?dir=x", true),
            (missing, "--inputs-from nope", true),
            (missing, "-I ../../e/nope", true),
            (missing, "--override-input nixpkgs ../other", false),
            (missing, "eval --json path:/tmp/flake#x --apply nope:", false),
            (missing, "", false),
            (of_input, "--override-input dep path:/tmp/e/nope", true),
            (of_input, "-L --override-input other ../dep --override-input dep ../x", true),
            (of_input, "--override-input other path:/tmp/e/nope", false),
            (of_input, "dep", false),
        ] {
            let args = args.split(' ').collect::<Vec<_>>();
            assert_eq!(are_at_fault(stderr, &args, Some(Path::new("/tmp/flake"))), expected, "{args:?}");
        }
        let own = are_at_fault(missing, &["path:/tmp/e/nope#x"], Some(Path::new("/tmp/e/nope")));
        assert!(!own, "the flake itself is missing");
    }

    #[test]
    fn fuzz() {
        let sample = "error: getting status of '/tmp/e/nope': No such file or directory";
        crate::base::fuzz::check_text(&[sample], |text| {
            are_at_fault(text, &text.split(' ').collect::<Vec<_>>(), None)
        });
    }
}
