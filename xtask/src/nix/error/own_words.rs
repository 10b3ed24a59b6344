//! Nix's own words in its errors, apart from the text that builders and the code of flakes make Nix print. Only Nix's
//! own words have hints.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::base::percent_encoding;

/// The free space in bytes below which a disk counts as full. For Nix itself the limit is 8 MiB.
const MIN_FREE_BYTES: u64 = 16 << 20;
/// What follows an error about an argument or a setting.
pub const TRY_HELP: &str = "Try 'nix --help' for more information.";

/// What stands before an error.
pub const ERROR: &str = "error:";
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

/// Nix's own words in the error `text`: the error without its trace and without the quoted lines of a builder's log.
/// Empty for an error that an expression throws.
pub fn of_error(text: &str) -> String {
    let (trace, error) = split_trace(text);
    if is_thrown(trace) || error.contains("evaluation aborted with the following error message") {
        return String::new();
    }
    let is_own = |line: &&str| !is_quoted(line) || of_log_line(line.trim_start_matches([' ', '>'])).is_some();
    error.lines().filter(is_own).collect::<Vec<_>>().join("\n")
}

/// `line` of a builder's log, if Nix itself wrote the line to explain why it cannot start the builder; otherwise
/// `None`.
pub fn of_log_line(line: &str) -> Option<&str> {
    let names_program = line.starts_with("error: executing '") || line.starts_with("executing '");
    (names_program && line.ends_with("': Exec format error")).then_some(line)
}

/// The system features that the build in the error `text` requires, and that this machine lacks. Nix lists both between
/// braces, the required ones first.
pub fn missing_features(text: &str) -> Vec<&str> {
    let lists = text.split("with features {").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    let mut lists =
        lists.map(|list| list.split(", ").filter(|feature| !feature.is_empty()).collect::<Vec<_>>());
    let (Some(required), Some(present)) = (lists.next(), lists.next()) else { return Vec::new() };
    required.into_iter().filter(|feature| !present.contains(feature)).collect()
}

/// What the `error` of a failed download says, without curl's number for the reason and what follows the number, and
/// without the words around the error where Nix unpacks what it downloads; `None` for another error.
pub fn failed_download(error: &str) -> Option<String> {
    const OF_ARCHIVE: &str = "Failed to open archive (Source threw exception: error: ";
    let of_archive = error.strip_prefix(OF_ARCHIVE).and_then(|inner| inner.strip_suffix(')'));
    let download = of_archive.unwrap_or(error);
    let (url, reason) = download.strip_prefix("unable to download '")?.split_once("': ")?;
    Some(format!("unable to download '{url}': {}", without_details(reason)))
}

/// The first line of `reason` without curl's number for the error, such as ` (6)`, and without the details that follow
/// the number; the other lines as they are.
pub fn without_details(reason: &str) -> String {
    let (first, rest) = reason.split_at(reason.find('\n').unwrap_or(reason.len()));
    let begins_number =
        |position: &usize| first[position + " (".len()..].starts_with(|c: char| c.is_ascii_digit());
    let mut positions = first.match_indices(" (").map(|(position, _)| position);
    let end = positions.find(begins_number).unwrap_or(first.len());
    format!("{}{rest}", &first[..end])
}

/// Whether `line` of an error quotes a builder's log.
fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with("> ")
}

/// Splits `text` into the trace and the error itself, which begins at the last line that starts with `error:`, indented
/// or not; an error of several lines begins below that word. The trace is empty where there is no such line.
pub fn split_trace(text: &str) -> (&str, &str) {
    let begins_line = |position: &usize| {
        let before = text[..*position].trim_end_matches(' ');
        before.is_empty() || before.ends_with('\n')
    };
    let is_word = |position: &usize| text[*position + ERROR.len()..].starts_with([' ', '\n']);
    let mut positions = text.rmatch_indices(ERROR).map(|(position, _)| position);
    text.split_at(positions.find(|position| begins_line(position) && is_word(position)).unwrap_or(0))
}

/// Splits `error` into the message and the position in the code, which Nix prints below the messages of its language,
/// above an excerpt.
pub fn split_position(error: &str) -> (&str, Option<&str>) {
    const INDENT: &str = "\n       at ";
    let Some((message, rest)) = error.split_once(INDENT) else { return (error, None) };
    let position = rest.lines().next().unwrap_or_default();
    let is_position = position.starts_with(['/', '«']) && position.ends_with(':');
    if is_position { (message, Some(position)) } else { (error, None) }
}

/// Whether the innermost step of `trace` is a `throw` or an `abort`: then the error is text of a flake.
fn is_thrown(trace: &str) -> bool {
    let innermost = trace.lines().rev().map(str::trim).find(|line| line.starts_with('…'));
    innermost.is_some_and(|step| {
        step.ends_with("while calling the 'throw' builtin") || step.ends_with("'abort' builtin")
    })
}

/// The address of the input that Nix could not fetch; `None` where the error `text` names none.
pub fn failed_input_url(text: &str) -> Option<&str> {
    let (trace, _) = split_trace(text);
    let mut steps = trace.lines().rev().map(str::trim);
    let input = steps.find_map(|step| step.strip_prefix("… while fetching the input "))?;
    Some(input.trim_matches('\''))
}

/// Whether the flake reference `url` names a path of this machine.
pub fn is_local_url(url: &str) -> bool {
    url.split_once(':').is_none_or(|(scheme, _)| scheme == "path" || scheme.ends_with("file"))
}

/// Whether the error `text` means that Nix could not fetch the flake `reference` itself; an input of the flake does not
/// count. `folder` is the folder of the flake, if the flake is on this machine.
pub fn failed_on_flake(text: &str, reference: &str, folder: Option<&Path>) -> bool {
    let without_query = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
    let Some(url) = failed_input_url(text).filter(|_| !text.contains("while updating the flake input '"))
    else {
        return false;
    };
    let url = without_query(url);
    let is_in = |folder: &Path| {
        let path = url.strip_prefix("path:").or_else(|| url.strip_prefix("git+file://"));
        path.is_some_and(|path| folder.as_os_str().as_bytes() == percent_encoding::decode(path))
    };
    url == without_query(reference) || folder.is_some_and(|folder| folder.ancestors().any(is_in))
}

/// More lines for the message of the error `text`: a line that names the input that Nix could not fetch, and the lines
/// of `printed` in which ssh and git give the reason. `None` where `text` is no error of fetching an input.
pub fn failed_input(text: &str, printed: &str) -> Option<String> {
    let (trace, _) = split_trace(text);
    let step = |words: &str| trace.lines().rev().find_map(|line| line.trim().strip_prefix(words));
    let url = step("… while fetching the input ").map(without_hash)?;
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

/// The quoted address of an input without the hash of its content, which fills a line and tells nobody anything.
fn without_hash(url: &str) -> String {
    url.split_once("?narHash=").map_or_else(|| url.to_owned(), |(address, _)| format!("{address}'"))
}

/// Whether `words` name a file of the flake in `folder`. `words` name the file by its path below the copy of the flake
/// in the store, `/nix/store/…-source/`. The file has the same path below `folder`, or below a folder above `folder`,
/// which may be the repository.
pub fn names_file_of(words: &str, folder: &Path) -> bool {
    let Some((_, rest)) = words.split_once("-source/") else { return false };
    let quoted = rest.split(['\'', '"', '\n']).next().unwrap_or_default();
    let file = quoted.split_once(": ").map_or(quoted, |(file, _)| file);
    let has_file = |above: &Path| above.join(file).exists() || above.join(file).is_symlink();
    !file.is_empty() && folder.ancestors().any(has_file)
}

/// The free space on the disk of a folder.
pub struct FreeSpace {
    pub folder: String,
    pub bytes: u64,
}

/// The free space for each folder to which Nix writes.
pub fn free_space() -> Vec<FreeSpace> {
    let temporary = std::env::temp_dir().display().to_string();
    let cache = std::env::var("HOME").ok().map(|home| format!("{home}/.cache/nix"));
    let folders = [super::NIX_STORE.to_owned(), temporary].into_iter().chain(cache);
    let measure = |folder: String| {
        let disk = rustix::fs::statvfs(&folder).ok()?;
        Some(FreeSpace { folder, bytes: disk.f_bavail.saturating_mul(disk.f_frsize) })
    };
    folders.filter_map(measure).collect()
}

/// The folder on the fullest disk; `None` where no disk is full.
pub fn full_folder(spaces: &[FreeSpace]) -> Option<&str> {
    let fullest = spaces.iter().min_by_key(|space| space.bytes)?;
    (fullest.bytes < MIN_FREE_BYTES).then_some(fullest.folder.as_str())
}
