//! The table of Nix's errors.

use super::hints::{
    CANNOT_BUILD, CANNOT_RUN, CANNOT_SANDBOX, DISK_FULL, HAS_NO_CHROOT, IMPORT_DISABLED, NO_ACCESS,
    NO_ATTRIBUTE, NO_CACHE, NO_DAEMON, NO_FLAKE, NO_NETWORK, NO_OUTPUT, NOT_OF_DAEMON, NOT_OF_STORE,
    NOT_READABLE, OTHER_CONTENT, UNTRACKED, WRONG_ARGUMENT, WRONG_SETTING,
};

/// The hint for errors of Nix whose text contains all `patterns`. Seen with Nix 2.26.3 and 2.34.8, unless a comment
/// names another version.
pub struct Rule {
    patterns: &'static [&'static str],
    pub hint: &'static str,
}

impl Rule {
    /// Whether the rule is for the error `text`.
    pub fn fits(&self, text: &str) -> bool {
        self.patterns.iter().all(|pattern| text.contains(pattern))
    }
}

/// All rules, the more specific ones first: the first rule that fits counts.
pub const RULES: &[Rule] = &[
    rule(&["syntax error in configuration line '"], WRONG_SETTING),
    rule(&["option '", "' has invalid value '"], WRONG_SETTING),
    rule(&["configuration setting '", "' should be "], WRONG_SETTING),
    rule(&["file '", "' included from '", "' not found"], WRONG_SETTING),
    rule(&["executing '", "': Exec format error"], CANNOT_RUN),
    rule(
        &["experimental Nix feature", "is disabled"],
        "add `experimental-features = nix-command flakes` to nix.conf",
    ),
    rule(&["could not find a flake.nix file"], NO_FLAKE),
    rule(&["is not part of a flake"], NO_FLAKE),
    rule(&["unable to find a flake before"], NO_FLAKE),
    rule(&["cannot find flake 'flake:"], NO_FLAKE),
    rule(&["does not contain a '/flake.nix' file"], NO_FLAKE),
    rule(&["error: input '", "' is unsupported"], NO_FLAKE),
    rule(&["is not a flake (because it's not a directory)"], NO_FLAKE),
    rule(&["error: unrecognised flag '"], WRONG_ARGUMENT),
    rule(&["error: unexpected argument '"], WRONG_ARGUMENT),
    rule(&["error: flag '", "' requires "], WRONG_ARGUMENT),
    rule(&["is not tracked by Git"], UNTRACKED), // from 2.29
    rule(&["path '/nix/store/", "-source/", "' does not exist"], UNTRACKED),
    rule(&["getting status of '/nix/store/", "-source/", "No such file or directory"], UNTRACKED), // 2.8
    rule(&["opening file '/nix/store/", "-source/", "No such file or directory"], UNTRACKED),      // readFile
    rule(&["reading directory /nix/store/", "-source/", "No such file or directory"], UNTRACKED),  // readDir
    rule(&["reading directory '/nix/store/", "-source/", "No such file or directory"], UNTRACKED),
    rule(&["getting status of", "No such file or directory"], NO_FLAKE),
    rule(&["path '//", "' does not exist"], NO_FLAKE), // a `path:` reference
    rule(
        &["is not owned by current user"],
        "add the repository to git's `safe.directory`: it belongs to another user",
    ),
    rule(&["but I am a '"], CANNOT_BUILD), // to 2.29, and Lix
    rule(&["required system or feature not available"], CANNOT_BUILD), // 2.30 to 2.33
    rule(&["platform mismatch"], CANNOT_BUILD), // from 2.34
    rule(
        &["nable to start any build"],
        "run `cargo xtask doctor`, which asks the remote builders, and check `max-jobs` in nix.conf: no machine takes this build",
    ),
    rule(
        &["Failed to find a machine for remote build!"],
        "check `builders` in nix.conf and /etc/nix/machines: no remote builder takes this build",
    ),
    rule(
        &["cannot build on 'ssh"],
        "check the remote builder, which does not answer: \
        `nix --extra-experimental-features nix-command store ping --store ADDRESS`",
    ),
    rule(
        &["cached failure of attribute"],
        "retry with `-- --no-eval-cache`: nix repeats the failure of an earlier evaluation",
    ),
    rule(&["does not provide attribute"], NO_ATTRIBUTE),
    rule(&["does not have wanted outputs"], NO_OUTPUT),
    rule(&["does not have output 'out'"], NO_OUTPUT), // 2.34
    rule(&["hash mismatch in fixed-output derivation"], OTHER_CONTENT),
    rule(&["kernel namespaces that are required for sandboxing"], CANNOT_SANDBOX),
    rule(&["has '__noChroot' set"], HAS_NO_CHROOT),
    rule(&["'allow-import-from-derivation' is disabled"], IMPORT_DISABLED),
    rule(&["cannot connect to ", ": Permission denied"], NOT_OF_DAEMON),
    rule(&["is not allowed to connect to the Nix daemon"], NOT_OF_DAEMON),
    rule(&["error: ", " '/nix/var/nix/", "': Permission denied"], NOT_OF_STORE),
    rule(&["error: opening ", "': Permission denied"], NOT_READABLE),
    rule(&["error: getting status of ", "': Permission denied"], NOT_READABLE),
    rule(&["creating directory '", "/.cache/nix"], NO_CACHE),
    rule(&["unable to download", "HTTP error 401"], NO_ACCESS),
    rule(&["unable to download", "HTTP error 403"], NO_ACCESS),
    rule(&["unable to download", "HTTP error 404"], NO_ACCESS),
    rule(&["unable to download", "HTTP error 429"], NO_ACCESS),
    rule(&["unable to download"], NO_NETWORK),
    rule(&["Could not resolve host"], NO_NETWORK),
    rule(&["cannot connect to socket"], NO_DAEMON),
    rule(&["cannot connect to daemon"], NO_DAEMON),
    rule(&["No space left on device"], DISK_FULL),
    rule(&["lack of free disk space"], DISK_FULL), // of a failed builder
];

const fn rule(patterns: &'static [&'static str], hint: &'static str) -> Rule {
    Rule { patterns, hint }
}
