//! What Nix itself says, apart from what builders and the code of flakes make it print. Only the former has remedies.

use std::path::Path;

/// The free space in bytes below which a disk counts as full. For Nix itself the limit is 8 MiB.
const MIN_FREE: u64 = 16 << 20;
/// The most lines of ssh and git that an error quotes.
const MAX_FETCH_LINES: usize = 8;
/// The beginnings of the lines that ssh and git print about a connection or a repository.
const FETCH_PREFIXES: &[&str] = &[
    "Bad owner or permissions",
    "Connection closed",
    "Connection reset",
    "Connection timed out",
    "ERROR: ",
    "Enter passphrase",
    "Host key verification failed",
    "Load key ",
    "Permission denied",
    "Received disconnect",
    "error: RPC",
    "fatal: ",
    "kex_",
    "remote: ",
    "sign_and_send_pubkey",
    "ssh: ",
];

/// Nix's own words in the error `text`: the error without its trace and without the lines of a builder's log that it
/// quotes. Empty for an error that an expression throws.
pub fn of_error(text: &str) -> String {
    let (trace, error) = split(text);
    if is_thrown(trace) || error.contains("evaluation aborted with the following error message") {
        return String::new();
    }
    let own_lines = error
        .lines()
        .filter(|line| !is_quoted(line) || of_log(line.trim_start_matches([' ', '>'])).is_some());
    own_lines.collect::<Vec<_>>().join("\n")
}

/// `line` of a builder's log, if Nix itself wrote it: there it says why it cannot start the builder.
pub fn of_log(line: &str) -> Option<&str> {
    let begins = line.starts_with("error: executing '") || line.starts_with("executing '");
    (begins && line.ends_with("': Exec format error")).then_some(line)
}

fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with("> ")
}

/// Splits `text` into the trace and the error itself, which begins at the last line that starts with `error: `.
pub fn split(text: &str) -> (&str, &str) {
    let before = |at: usize| text[..at].trim_end_matches(' ');
    let begins_line = |at: &usize| before(*at).is_empty() || before(*at).ends_with('\n');
    text.split_at(text.rmatch_indices("error: ").map(|(at, _)| at).find(begins_line).unwrap_or(0))
}

/// Whether the innermost step of `trace` throws: the error is the text of a flake then.
fn is_thrown(trace: &str) -> bool {
    let last = trace.lines().rev().map(str::trim).find(|line| line.starts_with('…'));
    last.is_some_and(|step| {
        step.ends_with("while calling the 'throw' builtin") || step.ends_with("'abort' builtin")
    })
}

/// The lines that name the input that Nix could not fetch, by the error `text`; the lines in `printed` in which ssh and
/// git say why follow. `None` where `text` is about something else.
pub fn failed_input(text: &str, printed: &str) -> Option<String> {
    let (trace, _) = split(text);
    let step = |words: &str| trace.lines().rev().find_map(|line| line.trim().strip_prefix(words));
    let url = step("… while fetching the input ")?;
    let name = step("… while updating the flake input ").map_or(String::new(), |name| format!("{name}, "));
    let is_reason = |line: &&str| {
        FETCH_PREFIXES.iter().any(|prefix| line.starts_with(prefix))
            || line.contains(": Permission denied (")
            || line.contains(" host key is known for ")
    };
    let mut seen = std::collections::HashSet::new();
    let reasons = printed.lines().map(str::trim).filter(is_reason).filter(|line| seen.insert(*line));
    let quoted = reasons.take(MAX_FETCH_LINES).map(|line| format!("\n  | {line}")).collect::<String>();
    Some(format!("\n  while fetching the input {name}{url}{quoted}"))
}

/// Whether `words` name a file of the flake in `folder`. In `words` the file is below a source in the store; here it is
/// below `folder`, or below a folder above, which may be the repository.
pub fn names_a_file_of(words: &str, folder: &Path) -> bool {
    let Some((_, rest)) = words.split_once("-source/") else { return false };
    let name = rest.split(['\'', '"', '\n']).next().unwrap_or_default();
    let name = name.split_once(": ").map_or(name, |(name, _)| name);
    !name.is_empty()
        && folder.ancestors().any(|above| above.join(name).exists() || above.join(name).is_symlink())
}

/// The folders to which Nix writes, and the free space of their disks in bytes.
pub fn disks() -> Vec<(String, u64)> {
    let temporary = std::env::temp_dir().display().to_string();
    let home = std::env::var("HOME").map(|home| format!("{home}/.cache/nix"));
    let folders = [Some(super::NIX_STORE.to_owned()), Some(temporary), home.ok()];
    let free = |folder: String| {
        let found = rustix::fs::statvfs(&folder).ok()?;
        Some((folder, found.f_bavail.saturating_mul(found.f_frsize)))
    };
    folders.into_iter().flatten().filter_map(free).collect()
}

/// The folder whose disk is full, the fullest first.
pub fn full_disk(disks: &[(String, u64)]) -> Option<&str> {
    let full = disks.iter().filter(|(_, free)| *free < MIN_FREE);
    full.min_by_key(|(_, free)| *free).map(|(folder, _)| folder.as_str())
}
