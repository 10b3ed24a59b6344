//! Errors of Nix, with their hints. Nix exits with 1 for every error, so the text of the error is classified: in one
//! table, here.

mod arguments;
mod cache_remedy;
mod copy;
mod fetch;
mod hints;
#[cfg(test)]
mod input_tests;
#[cfg(test)]
mod kind_tests;
mod own_words;
mod plain_text;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::path::Path;

use crate::base::failure::{ExitKind, ReasonKind, hint};
use crate::base::redact::without_passwords;
use crate::nix::programs::Programs;
use hints::{
    CANNOT_BUILD, DISK_FULL, FREE_SPACE, NO_CACHE, NO_FLAKE, NO_INPUT, NO_NETWORK, NOT_OF_DAEMON,
    NOT_OF_STORE, NOT_READABLE, UNTRACKED, WRONG_ARGUMENT,
};
use rules::{RULES, Rule};

pub use cache_remedy::CacheClient;
pub use copy::{CopyFault, copy_failed, is_silent_host};
pub use fetch::{
    FetchFault, FetchFaultKind, LACKED_IN_FOLDER, NO_CACHE_IN_FOLDER, cache_cause, is_missing_path,
};
pub use hints::WRONG_SETTING;
pub use own_words::{failed_download, without_details};
pub use plain_text::strip_ansi;

/// The beginning of an error of Nix.
const EVALUATION_FAILED: &str = "nix failed on ";

/// What stands before a line of a builder's log in an error.
const QUOTE: &str = "  | ";

/// The folder of the store.
pub const NIX_STORE: &str = "/nix/store";

/// The error for an evaluation of `subject` that failed with `stderr`, with a hint where a rule fits. `folder` is the
/// folder of the flake, if the flake is on this machine.
pub fn evaluation_failed(
    stderr: &str,
    subject: &dyn Display,
    folder: Option<&Path>,
    programs: &Programs,
) -> anyhow::Error {
    let text = without_passwords(&strip_ansi(stderr));
    let reasons = own_words::failed_input(&text, &text).unwrap_or_default();
    let message = format!("{EVALUATION_FAILED}{subject}: {}{reasons}", summarize(&text));
    let words = own_words::of_error(&text);
    // A missing file may belong to another flake, for which `git add` would not help.
    let may_be_untracked = words.contains("tracked by Git")
        || folder.is_none_or(|folder| own_words::names_file_of(&words, folder));
    let hint = hint_of(&words, programs).filter(|hint| hint != UNTRACKED || may_be_untracked);
    let is_vague = hint.as_deref().is_none_or(|hint| [NO_FLAKE, NO_NETWORK, UNTRACKED].contains(&hint));
    // The flake is there, but not the folder of its input.
    let is_of_input = hint.as_deref() == Some(NO_FLAKE) && text.contains("while updating the flake input '");
    let is_of_flake = own_words::failed_on_flake(&text, &subject.to_string(), folder);
    let is_missing = is_of_input || is_vague && !is_of_flake && is_missing_input(&text, &words, folder);
    let hint = if is_missing { Some(NO_INPUT.to_owned()) } else { hint };
    // git says it in its own lines where a repository is on a server.
    let is_unreachable = || reasons.contains("Could not resolve host").then(|| NO_NETWORK.to_owned());
    let hint = hint.or_else(is_unreachable);
    reason_of(hint.as_deref(), ReasonKind::EvaluationFailed).error(kind_of(hint.as_deref()), message, hint)
}

/// `error`, of an evaluation that failed with `stderr`, with another hint where one of the `args` of Nix is at fault.
/// `folder` is the folder of the flake, if the flake is on this machine.
pub fn blame_arguments(
    error: anyhow::Error,
    stderr: &str,
    args: &[&str],
    folder: Option<&Path>,
) -> anyhow::Error {
    let may_be_of_arguments =
        hint(&error).is_some_and(|hint| [NO_FLAKE, NO_INPUT, UNTRACKED].contains(&hint));
    if !may_be_of_arguments || !arguments::are_at_fault(&strip_ansi(stderr), args, folder) {
        return error;
    }
    ExitKind::Usage.error_with(error.to_string(), Some(WRONG_ARGUMENT.to_owned()), Vec::new())
}

/// The kind of an error with this `hint`.
fn kind_of(hint: Option<&str>) -> ExitKind {
    match hint {
        Some(NO_FLAKE | WRONG_ARGUMENT) => ExitKind::Usage,
        Some(WRONG_SETTING) => ExitKind::Refused,
        Some(NOT_OF_DAEMON | NOT_OF_STORE | NOT_READABLE | NO_CACHE) => ExitKind::Permission,
        _ => ExitKind::Other,
    }
}

/// The reason of an error with this `hint`; `failed` where the hint says no more.
fn reason_of(hint: Option<&str>, failed: ReasonKind) -> ReasonKind {
    match hint {
        Some(NO_NETWORK) => ReasonKind::NoNetwork,
        Some(hint) if hint.starts_with(FREE_SPACE) => ReasonKind::NoRoom,
        _ => failed,
    }
}

/// Whether the error `text` of the flake in `folder`, with Nix's own `words`, is that of an input which does not exist:
/// one with an address on this machine, or one in the flake.
fn is_missing_input(text: &str, words: &str, folder: Option<&Path>) -> bool {
    let is_local = own_words::failed_input_url(text).is_some_and(own_words::is_local_url);
    // The folder of a locked input is named without the input.
    let is_other_folder =
        |folder: &Path| words.contains("path '//") && !words.contains(&*folder.to_string_lossy());
    let names_flake = words.contains("-source/") && words.contains("/flake.nix' does not exist");
    let is_in_flake = |folder| names_flake && !own_words::names_file_of(words, folder);
    is_local || folder.is_some_and(|folder| is_other_folder(folder) || is_in_flake(folder))
}

/// The error for a failed build of `installable`. `messages` are the errors that Nix printed, without escape sequences:
/// the first is the cause, the others only list what could not be built because of the cause. `fetch_lines` are the
/// lines that ssh and git printed while they fetched inputs. `log` is the end of the failed builder's log.
pub fn build_failed(
    installable: &str,
    messages: &[String],
    fetch_lines: &[String],
    log: &[String],
    programs: &Programs,
) -> anyhow::Error {
    let first = messages.first().map(|text| without_passwords(text)).unwrap_or_default();
    let cause = if messages.is_empty() { "nix printed no error".to_owned() } else { summarize(&first) };
    let fetch_lines = without_passwords(&fetch_lines.join("\n"));
    let reasons = own_words::failed_input(&first, &fetch_lines).unwrap_or_default();
    let mut message = format!("nix failed on {installable}: {cause}{reasons}");
    if !log.is_empty() {
        message.push_str("\n  last lines of the builder's log:");
        message.extend(log.iter().map(|line| format!("\n{QUOTE}{line}")));
        if let Some(derivation) = first_derivation(&cause) {
            // `nix-store` needs no feature of Nix. A path in backquotes stays whole on a narrow terminal.
            let program = programs.command("nix-store");
            message = format!("{message}\n  full log: `{program} --read-log {derivation}`");
        }
    }
    let of_errors = messages.iter().map(|text| own_words::of_error(text));
    let of_log = log.iter().filter_map(|line| own_words::of_log_line(line)).map(str::to_owned);
    let words = of_errors.chain(of_log).collect::<Vec<_>>().join("\n");
    let hint = hint_of(&words, programs);
    reason_of(hint.as_deref(), ReasonKind::BuildFailed).error(kind_of(hint.as_deref()), message, hint)
}

/// The line of a builder's log that `line` of the error of a build quotes; `None` for another line.
pub fn quoted_log_line(line: &str) -> Option<&str> {
    line.strip_prefix(QUOTE)
}

/// Whether the error `text` only lists what could not be built because something else failed. The words changed with
/// Nix 2.30.
pub fn is_consequence(text: &str) -> bool {
    text.contains("dependencies of derivation") || text.contains("dependency failed")
}

/// Whether the error `text` only repeats the failure of an earlier evaluation.
pub fn is_cached_failure(text: &str) -> bool {
    text.contains("cached failure of attribute")
}

/// Whether `error` reports that the flake lacks the requested attribute.
pub fn is_missing_attribute(error: &anyhow::Error) -> bool {
    error.to_string().contains("does not provide attribute")
}

/// Whether `error` reports that the flake builds something during the evaluation, which the tool forbade.
pub fn is_forbidden_build(error: &anyhow::Error) -> bool {
    error.to_string().contains("'allow-import-from-derivation' is disabled")
}

/// Whether `error` reports that Nix has to fetch something and cannot reach its server.
pub fn needs_network(error: &anyhow::Error) -> bool {
    hint(error) == Some(NO_NETWORK)
}

/// Whether an evaluation lacks a file that git does not list.
pub fn needs_git_add(error: &anyhow::Error) -> bool {
    hint(error) == Some(UNTRACKED)
}

/// Whether the error `text` is about a setting that Nix cannot read.
pub fn is_of_settings(text: &str) -> bool {
    rule_of(text).is_some_and(|rule| rule.hint == WRONG_SETTING)
}

/// Whether Nix itself ended an evaluation, rather than the user or a limit.
pub fn is_evaluation_failure(error: &anyhow::Error) -> bool {
    error.to_string().starts_with(EVALUATION_FAILED)
}

/// Whether an expression of the flake is at fault: every evaluation of the same flake fails so.
pub fn is_fault_of_flake(error: &anyhow::Error) -> bool {
    const FAULTS: [&str; 7] = [
        ": attribute '",
        ": cannot add ",
        ": cannot coerce ",
        ": evaluation aborted with the following error message",
        ": expected a ",
        ": infinite recursion encountered",
        ": undefined variable '",
    ];
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default();
    is_evaluation_failure(error) && FAULTS.iter().any(|fault| message.contains(fault))
}

/// The derivation that `message` names first; `None` where the first store path in `message` is no derivation.
pub fn first_derivation(message: &str) -> Option<&str> {
    let start = message.find("'/nix/store/")? + 1;
    let path = message[start..].split('\'').next()?;
    let is_derivation = path.strip_suffix(".drv").is_some();
    is_derivation.then_some(path)
}

/// The derivations that failed, if `message` is the sum at the end of a run in which several builds failed. Their names
/// may end with outputs, as in `x.drv^*`.
pub fn failed_derivations(message: &str) -> Option<impl Iterator<Item = &str>> {
    let message = message.strip_prefix(own_words::ERROR).unwrap_or(message).trim_start();
    let rest = message.strip_prefix("build of '")?;
    let paths = rest.split('\'').filter_map(|path| path.split('^').next());
    Some(paths.filter(|path| path.strip_suffix(".drv").is_some()))
}

/// The first rule that fits `text`; `None` where no rule fits.
fn rule_of(text: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.fits(text))
}

/// The hint of the first rule that fits `text`; `None` where no rule fits.
fn hint_of(text: &str, programs: &Programs) -> Option<String> {
    let hint = rule_of(text)?.hint;
    let hint = match hint {
        DISK_FULL => disk_full_hint(),
        CANNOT_BUILD => missing_features_hint(text).unwrap_or_else(|| hint.to_owned()),
        _ => hint.to_owned(),
    };
    Some(programs.spell_out(&hint))
}

/// The hint for a build whose features this machine lacks; `None` if it lacks none.
fn missing_features_hint(text: &str) -> Option<String> {
    let missing = own_words::missing_features(text).join(" ");
    (!missing.is_empty()).then(|| {
        format!(
            "use a remote builder with the system features that the build needs and this machine lacks: {missing}; or \
             add them to `system-features` in nix.conf, where the machine does have them (`kvm` needs /dev/kvm)"
        )
    })
}

/// The hint for a full disk. The hint names the folder on that disk, if a disk is found full now.
fn disk_full_hint() -> String {
    match own_words::full_folder(&own_words::free_space()) {
        Some(NIX_STORE) => format!("free space on the disk of {NIX_STORE}: `nix-collect-garbage`"),
        Some(folder) => format!("free space on the disk of {folder}, which is full"),
        None => DISK_FULL.to_owned(),
    }
}

/// The error in `text`, with the position in its trace that is nearest to the error.
fn summarize(text: &str) -> String {
    let (trace, error) = own_words::split_trace(text.trim());
    let error = error.strip_prefix(own_words::ERROR).unwrap_or(error).trim();
    let error = error.strip_suffix(own_words::TRY_HELP).unwrap_or(error).trim_end();
    let (error, own_position) = own_words::split_position(error);
    if let Some(failure) = failed_download(error) {
        // A server is at fault, and no place in the code.
        return failure;
    }
    let of_trace = trace.lines().rev().filter_map(|line| line.trim().strip_prefix("at "));
    let mut positions = own_position.into_iter().chain(of_trace);
    // A position in the expression of `--apply`, which is this tool's, does not help the user.
    match positions.find(|position| !position.starts_with('«')) {
        Some(position) => format!("{error}\n  at {}", position.trim_end_matches(':')),
        None => error.to_owned(),
    }
}
