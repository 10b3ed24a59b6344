//! Nix says every error with exit code 1: its text is classified here, in one table, and nowhere else.

use crate::base::failure::ExitKind;

/// Patterns that all stand in the text of an error, and what the user is told. Seen with Nix 2.26.3
/// and 2.34.8, unless another version is named.
struct Rule {
    patterns: &'static [&'static str],
    remedy: &'static str,
}

const TRACK: &str =
    "nix sees only files that git tracks: `git add` the file; a folder that git ignores is named path:FOLDER";
const NO_FLAKE: &str = "there is no flake there: name one with --flake";
const PLATFORM: &str = "this machine cannot build for that system: `cargo xtask doctor` says why";
const OFFERED: &str = "`cargo xtask hosts` lists what the flake offers";
const FETCH: &str = "nix could not fetch something the flake needs: is the network there?";
const SANDBOX: &str = "builds run in a sandbox, as they could read the private keys of hosts otherwise: allow user namespaces \
    (sysctl user.max_user_namespaces, and kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), or use a Nix whose \
    daemon has build users";
const IMPORT: &str = "the flake has something built while it is evaluated, which for root could read the private keys of hosts: run \
    the tool as another user";
const DAEMON: &str = "nix-daemon does not answer: `systemctl start nix-daemon`";

/// The first rule that fits is taken, so the more telling ones come first.
const RULES: [Rule; 30] = [
    rule(
        &["Exec format error"],
        "this machine cannot run the programs of that system: `cargo xtask doctor` says why",
    ),
    rule(
        &["experimental Nix feature", "is disabled"],
        "add `experimental-features = nix-command flakes` to nix.conf",
    ),
    rule(&["could not find a flake.nix file"], NO_FLAKE),
    rule(&["is not part of a flake"], NO_FLAKE),
    rule(&["unable to find a flake before"], NO_FLAKE),
    rule(&["cannot find flake 'flake:"], NO_FLAKE),
    rule(&["does not contain a '/flake.nix' file"], NO_FLAKE),
    rule(&["is not tracked by Git"], TRACK), // from 2.29
    rule(&["path '/nix/store/", "-source/", "' does not exist"], TRACK),
    rule(&["getting status of '/nix/store/", "-source/", "No such file or directory"], TRACK), // 2.8
    rule(&["getting status of", "No such file or directory"], NO_FLAKE),
    rule(&["path '//", "' does not exist"], NO_FLAKE), // a folder named by path:
    rule(
        &["is not owned by current user"],
        "the repository belongs to another user: see git's `safe.directory`",
    ),
    rule(&["but I am a '"], PLATFORM), // to 2.29, and Lix
    rule(&["required system or feature not available"], PLATFORM), // 2.30 to 2.33
    rule(&["platform mismatch"], PLATFORM), // from 2.34
    rule(
        &["Failed to find a machine for remote build!"],
        "no remote builder takes this build: see `builders` in nix.conf and /etc/nix/machines",
    ),
    rule(
        &["cannot build on 'ssh"],
        "the remote builder does not answer: try `nix store info --store` with its address",
    ),
    rule(
        &["cached failure of attribute"],
        "an earlier failure was remembered: again with `-- --no-eval-cache`",
    ),
    rule(&["does not provide attribute"], OFFERED),
    rule(&["does not have wanted outputs"], "the image's package needs an output 'out'"),
    rule(&["does not have output 'out'"], "the image's package needs an output 'out'"), // 2.34
    rule(&["kernel namespaces that are required for sandboxing"], SANDBOX),
    rule(
        &["has '__noChroot' set"],
        "a build outside the sandbox could read the private keys of hosts: take `__noChroot` out of the derivation",
    ),
    rule(&["'allow-import-from-derivation' is disabled"], IMPORT),
    rule(&["unable to download"], FETCH),
    rule(&["Could not resolve host"], FETCH),
    rule(&["cannot connect to socket"], DAEMON),
    rule(&["cannot connect to daemon"], DAEMON),
    rule(&["No space left on device"], "the disk is full: `nix store gc` makes room in the Nix store"),
];

const fn rule(patterns: &'static [&'static str], remedy: &'static str) -> Rule {
    Rule { patterns, remedy }
}

/// The error for a failed question to nix: its own words, and the remedy where one is known.
pub fn classify(stderr: &str, flake: &str) -> anyhow::Error {
    let text = strip_ansi(stderr);
    ExitKind::Other.error(format!("nix failed on {flake}: {}{}", essence(&text), remedy(&text)))
}

/// The error for a failed build. `messages` are the errors nix printed, without escape sequences;
/// the first is the cause, those behind it only say what else could not be built for want of it.
/// `log` are the last lines of the failed builder.
pub fn build_failed(installable: &str, messages: &[String], log: &[String]) -> anyhow::Error {
    let cause = messages.first().map_or_else(|| "it said nothing".to_owned(), |text| essence(text));
    let mut text = format!("nix failed on {installable}: {cause}");
    if !log.is_empty() {
        text.push_str("\n  the last lines of the builder's log:");
        text.extend(log.iter().map(|line| format!("\n  | {line}")));
        text.extend(failed_derivation(&cause).map(|drv| format!("\n  all of it: nix log {drv}")));
    }
    text.push_str(&remedy(&[messages.join("\n"), log.join("\n")].join("\n")));
    ExitKind::Other.error(text)
}

/// Whether nix only says what could not be built for want of something else (2.30 has other words than those before).
pub fn is_consequence(text: &str) -> bool {
    text.contains("dependencies of derivation") || text.contains("dependency failed")
}

/// Whether nix only repeats that an evaluation has failed before.
pub fn is_cached_failure(text: &str) -> bool {
    text.contains("cached failure of attribute")
}

/// Whether the error is that the flake has no such attribute.
pub fn is_missing_attribute(error: &anyhow::Error) -> bool {
    error.to_string().contains("does not provide attribute")
}

/// The first derivation that `message` names.
pub fn failed_derivation(message: &str) -> Option<&str> {
    let from = message.find("'/nix/store/")? + 1;
    let path = message[from..].split('\'').next()?;
    path.strip_suffix(".drv").and(Some(path))
}

fn remedy(text: &str) -> String {
    let fits = |rule: &&Rule| rule.patterns.iter().all(|pattern| text.contains(pattern));
    RULES.iter().find(fits).map(|rule| format!("\n  {}", rule.remedy)).unwrap_or_default()
}

/// The part that says what is wrong: from the last line on that begins with `error: `, and of the trace
/// before it only the place that is nearest to the error.
fn essence(text: &str) -> String {
    let text = text.trim();
    let before = |at: usize| text[..at].trim_end_matches(' ');
    let begins = |at: &usize| before(*at).is_empty() || before(*at).ends_with('\n');
    let last = text.rmatch_indices("error: ").map(|(at, _)| at).find(begins);
    let from = last.map_or(0, |at| at + "error: ".len());
    let (trace, said) = (&text[..from], text[from..].trim());
    let place = trace.lines().rev().find_map(|line| line.trim().strip_prefix("at "));
    match place {
        Some(place) => format!("{said}\n  at {}", place.trim_end_matches(':')),
        None => said.to_owned(),
    }
}

/// `text` without the escape sequences that colour it.
pub fn strip_ansi(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => drop(chars.by_ref().find(char::is_ascii_alphabetic)),
            _ => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_follows_the_words() {
        for (stderr, expected) in [
            (
                "\u{1b}[31;1merror:\u{1b}[0m path '/x' is not part of a flake (neither it nor its parents)",
                "path '/x' is not part of a flake (neither it nor its parents)\n  there is no flake there: name one with --flake",
            ),
            (
                "warning: w\nerror:\n  … while a\n  at /far.nix:1:1:\n  … b\n  at /near.nix:2:2:\n  error: boom",
                "boom\n  at /near.nix:2:2",
            ),
            (
                "error: cannot find flake 'flake:x' in the flake registries",
                "cannot find flake 'flake:x' in the flake registries\n  there is no flake there: name one with --flake",
            ),
            ("error: cannot coerce a thing", "cannot coerce a thing"),
            ("plain", "plain"),
        ] {
            assert_eq!(classify(stderr, "F").to_string(), format!("nix failed on F: {expected}"));
        }
    }

    #[test]
    fn a_failed_build_names_the_cause_and_shows_the_log() {
        let messages = [
            "error: builder for '/nix/store/a-dep.drv' failed with exit code 3",
            "error: 1 dependencies of derivation '/nix/store/b-top.drv' failed to build",
        ];
        let error = build_failed("F#x", &messages.map(str::to_owned), &["one".into(), "two".into()]);
        let expected = "nix failed on F#x: builder for '/nix/store/a-dep.drv' failed with exit code 3
  the last lines of the builder's log:
  | one
  | two
  all of it: nix log /nix/store/a-dep.drv";
        assert_eq!(error.to_string(), expected);
        let error = build_failed("F", &["error: x".into()], &["p: Exec format error".into()]).to_string();
        assert!(error.ends_with("| p: Exec format error\n  this machine cannot run the programs of that system: `cargo xtask doctor` says why"));
        assert_eq!(build_failed("F", &[], &[]).to_string(), "nix failed on F: it said nothing");
    }

    #[test]
    fn fuzz() {
        let trace = "warning: w\n\u{1b}[31;1merror:\u{1b}[0m\n  … while a\n  at /far.nix:1:1:\n  error: builder for '/nix/store/a.drv' failed";
        crate::base::fuzz::check_text(
            &[trace, "error: path '/x' is not part of a flake (neither it nor its parents)"],
            |text| {
                let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
                (classify(text, "F").to_string(), build_failed("F", &lines, &lines).to_string())
            },
        );
    }
}
