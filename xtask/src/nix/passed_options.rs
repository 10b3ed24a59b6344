//! The options that users pass on to Nix: those with which Nix would do something else than the tool asks for.

use anyhow::Result;

use super::build::{BUILD_ONLY_FLAGS, BUILD_ONLY_OPTIONS};
use crate::bail;

/// Refused options, each with the reason, and with the remedy if there is one. Each is an option of `nix build` or `nix
/// eval` of Nix 2.18 to 2.34.
const REFUSED: &[(&str, &str, Option<&str>)] = &[
    (
        "--dry-run",
        "nothing would be built",
        Some("`--plan` of `sd-image` and `deploy` shows what would be built"),
    ),
    ("--print-out-paths", READS, Some("`sd-image` prints the path of the image")),
    ("--raw", READS, None),
    ("--write-to", READS, None),
    ("--apply", READS, None),
    ("--log-format", READS, Some("`-L` prints all that builders print")),
    ("--version", READS, Some("`doctor` shows the version of Nix")),
    ("--help", READS, None),
    ("--debugger", "the debugger would wait for input", Some("`nix eval --debugger` has a terminal")),
    ("--stdin", OF_FLAKE, None),
    ("--expr", OF_FLAKE, None),
    ("-E", OF_FLAKE, None),
    ("--file", OF_FLAKE, Some("`--flake` names another flake")),
    ("-f", OF_FLAKE, Some("`--flake` names another flake")),
];

const READS: &str = "the tool reads what Nix prints";
const OF_FLAKE: &str = "hosts come from the flake";

/// Options without a value. Nix has more: what follows another option may be its value.
const FLAGS: &[&str] = &[
    "--accept-flake-config",
    "--debug",
    "--fallback",
    "--impure",
    "--keep-going",
    "--no-eval-cache",
    "--no-update-lock-file",
    "--no-write-lock-file",
    "--offline",
    "--quiet",
    "--refresh",
    "--repair",
    "--show-trace",
    "--verbose",
    "-L",
    "-k",
    "-v",
];

/// The most values that an option of Nix takes.
const MAX_VALUES: usize = 2;

/// Refuses those of the user's `words` for Nix that keep the tool from its result. Options of builds are for a command
/// that `builds`.
///
/// # Errors
/// `Usage` for the first such word.
pub fn check_passed(words: &[String], builds: bool) -> Result<()> {
    for option in words.iter().flat_map(|word| split_flags(word)) {
        if let Some((name, why, remedy)) = REFUSED.iter().find(|(name, ..)| *name == option) {
            let remedy = remedy.unwrap_or("leave it out");
            bail!(Usage, "{name} cannot be passed to Nix: {why}"; hint: "{remedy}");
        }
        let is_of_builds = [BUILD_ONLY_FLAGS, BUILD_ONLY_OPTIONS].concat().contains(&option.as_str());
        if is_of_builds && !builds {
            bail!(
                Usage, "{option} cannot be passed to Nix: this command builds nothing";
                hint: "leave it out"
            );
        }
    }
    match stray_word(words) {
        None => Ok(()),
        Some(word) => bail!(
            Usage, "`{word}` stands among the arguments for Nix, and is neither an option nor the value of one";
            hint: "name hosts in front of `--`, or correct the arguments for Nix"
        ),
    }
}

/// The first of `words` that cannot be the value of an option.
fn stray_word(words: &[String]) -> Option<&str> {
    let mut values_left = 0;
    for word in words {
        if word.starts_with('-') {
            let is_flag = split_flags(word).iter().all(|option| FLAGS.contains(&option.as_str()));
            values_left = if is_flag { 0 } else { MAX_VALUES };
        } else if values_left == 0 {
            return Some(word);
        } else {
            values_left -= 1;
        }
    }
    None
}

/// The options of one word of a command line: Nix takes `-Lo` for `-L -o`, and `-j8` for `-j 8`.
fn split_flags(word: &str) -> Vec<String> {
    match word.strip_prefix('-') {
        Some(letters) if letters.len() > 1 && letters.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            let flags = letters.chars().take_while(char::is_ascii_alphabetic);
            flags.map(|letter| format!("-{letter}")).collect()
        }
        _ => vec![word.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, hint, kind};

    fn check(line: &str, builds: bool) -> Result<()> {
        check_passed(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), builds)
    }

    #[test]
    fn options_with_which_nix_would_do_something_else_are_refused() {
        for (line, expected) in [
            ("--dry-run", "--dry-run cannot be passed to Nix: nothing would be built"),
            (
                "-L --print-out-paths",
                "--print-out-paths cannot be passed to Nix: the tool reads what Nix prints",
            ),
            ("--log-format raw", "--log-format cannot be passed to Nix: the tool reads what Nix prints"),
            ("--max-jobs 2 --file x.nix", "--file cannot be passed to Nix: hosts come from the flake"),
            ("-Lf x.nix", "-f cannot be passed to Nix: hosts come from the flake"),
        ] {
            for builds in [true, false] {
                let error = check(line, builds).unwrap_err();
                assert_eq!((error.to_string().as_str(), kind(&error)), (expected, ExitKind::Usage), "{line}");
                assert!(hint(&error).is_some(), "{line}");
            }
        }
    }

    #[test]
    fn options_of_builds_are_for_commands_that_build() {
        for line in ["--no-link", "--out-link result", "-o result", "-Lo result", "--rebuild", "--profile p"]
        {
            check(line, true).unwrap();
            let error = check(line, false).unwrap_err();
            assert!(
                error.to_string().ends_with("cannot be passed to Nix: this command builds nothing"),
                "{line}"
            );
        }
    }

    #[test]
    fn a_word_that_belongs_to_no_option_is_named() {
        for (line, word) in [
            ("nosuch", "nosuch"),
            ("nosuch -L", "nosuch"),
            ("-L nosuch", "nosuch"),
            ("-vL nosuch", "nosuch"),
            ("--impure --offline pi", "pi"),
            ("--override-input nixpkgs ../nixpkgs pi", "pi"),
        ] {
            let error = check(line, false).unwrap_err();
            assert_eq!(kind(&error), ExitKind::Usage);
            assert!(error.to_string().starts_with(&format!("`{word}` stands among ")), "{line}: {error}");
        }
    }

    #[test]
    fn all_other_options_reach_nix() {
        for line in [
            "-L",
            "-j8",
            "-vL",
            "--override-input nixpkgs ../nixpkgs",
            "--impure",
            "--option cores 2",
            "--option cores 2 --arg a 1 -L --offline --max-jobs 2 -I x=y",
            "-j 8 -",
        ] {
            check(line, false).unwrap();
        }
    }
}
