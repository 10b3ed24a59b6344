//! The log of the run of a command.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use super::{Command, Context};
use crate::base::failure::{self, ExitKind};
use crate::base::program;
use crate::base::run_log::RunLog;
use crate::base::{Event, Plain, Timestamp, redact, shell};
use crate::ui;

/// Begins the log with the version, the time, the command line and the folder of this run.
pub fn begin_log() -> Arc<RunLog> {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let command = shell::quote_all(&redact::arguments(words));
    let here = std::env::current_dir().unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let when = Timestamp::now();
    let header =
        format!("{version}, {when}\n{} {}\nin {}", program::name(), Plain(command), Plain(here.display()));
    Arc::new(RunLog::begin(&header))
}

/// Keeps the log of `command` in the state folder. Receipts and keys of earlier versions have moved there before.
pub fn keep_log(cx: &Context, command: &Command) {
    let has_state = cx.state.is_dir();
    let may_have_state = has_state || cx.flake.check().is_ok();
    if may_have_state
        && command.keeps_log(has_state)
        && let Err(error) = cx.log.keep_in(&cx.state)
    {
        cx.warn_of(&error.context("no log of this run is kept"));
    }
}

/// Writes the end of the run to its log. Returns the event that names the log of a run that failed, if the log has more
/// than the error: a refusal and a wrong command line say it all, and so does a user who stops a run.
pub fn end_log(log: &RunLog, ended: &Result<()>, json: bool) -> Option<Event> {
    let kind = ended.as_ref().err().map(failure::kind);
    if let Err(error) = ended {
        failure::with_hint(error).lines().for_each(|line| log.line(&format!("error: {line}")));
    }
    log.line(&format!("exit code {}", kind.map_or(0, ExitKind::code)));
    if kind == Some(ExitKind::Usage) {
        log.forget_hosts();
    }
    if let Some(error) = log.write_error() {
        ui::print_event(&incomplete_warning(&error), json);
    }
    let says_all = matches!(kind?, ExitKind::Usage | ExitKind::Refused | ExitKind::Interrupted);
    log.path_with_more().filter(|_| !says_all).map(|path| Event::LogFile { path: shorten(path) })
}

/// The warning that the file of `--log-file` lacks lines, because of `error`.
fn incomplete_warning(error: &std::io::Error) -> Event {
    let text = format!("the file of --log-file is incomplete: {}", error.kind());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Event::warning_with_hint(text, "make room on its disk".to_owned())
        }
        _ => Event::warning(text),
    }
}

/// `path` from the working directory, if `path` lies in it.
fn shorten(path: PathBuf) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).map(Path::to_owned).unwrap_or(path)
}
