//! `cargo xtask`: takes a Raspberry Pi from a NixOS flake to a running, verified host.
//!
//! Data flows one way through each command: gather, plan, show, act. Imports do too, from wing to wing: `commands`,
//! then `receipt` and `qemu`, then `card`, `deploy` and `setup`, then `boot`, `identity` and `nix`, then `base`. Only
//! `commands` and this file import `ui`, and only the commands for development and their command lines import `dev`.

#[cfg(test)]
mod as_root_tests;
pub mod base;
mod boot;
mod card;
pub mod cli;
mod commands;
mod deploy;
pub mod dev;
#[cfg(test)]
mod docs_tests;
mod identity;
#[cfg(test)]
mod limits_tests;
mod nix;
pub mod qemu;
mod receipt;
#[cfg(all(test, feature = "dev"))]
mod reference_tests;
mod setup;
mod ui;
#[cfg(test)]
mod wings_tests;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use base::failure::{self, ExitKind};
pub use base::process::Launcher;
use base::process::{die_with_parent, own_root};
use base::run_log::RunLog;
use base::{hardening, interrupt};
use card::worker::Access;
use clap::{CommandFactory as _, FromArgMatches as _, Parser as _};
pub use cli::Cli;
use cli::Internal;

/// Runs the command line of this process, and returns the exit code.
pub fn run_command_line() -> ExitCode {
    let args = || std::env::args_os().skip(1);
    let child_error = die_with_parent::become_program(args()).or_else(|| own_root::become_program(args()));
    if let Some(error) = child_error {
        return report_end(Err(error), false);
    }
    match commands::worker_access(std::env::args_os().skip(1)) {
        Some(access) => run_worker(access),
        None if std::env::args_os().nth(1).is_some_and(|word| Internal::has(&word)) => Internal::try_parse()
            .map_or_else(|error| report_parse_error(&error), |command| run_internal(&command)),
        None => parse(std::env::args_os()).map_or_else(|error| report_parse_error(&error), run),
    }
}

/// Parses `words` as the command line; help and errors have the styles of `ui`.
fn parse<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Result<Cli, clap::Error> {
    let words = words.into_iter().map(Into::into).collect::<Vec<OsString>>();
    let width = ui::help_width();
    let mut command =
        Cli::command().styles(ui::style::help_styles()).term_width(width).after_help(cli::after_help(width));
    let matches = command.try_get_matches_from_mut(&words).map_err(|error| cli::with_tip(error, &words))?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Runs a command of scripts and packages, and returns the exit code.
fn run_internal(command: &Internal) -> ExitCode {
    report_end(harden().and_then(|()| commands::run_internal(command)), false)
}

/// Runs the worker, and returns the exit code. The worker reports its errors on stdout to the tool that started it,
/// which prints them.
fn run_worker(access: Access) -> ExitCode {
    match harden() {
        Ok(()) => commands::run_worker(access).into(),
        Err(error) => report_end(Err(error), false),
    }
}

/// Prepares this process for keys and for signals.
fn harden() -> anyhow::Result<()> {
    hardening::forbid_core_dumps().and_then(|()| interrupt::keep_exit_codes())
}

/// Prints the parser's error about the command line, or the help or the version that the user requested. With `--json`
/// the error is an event. Returns the exit code.
fn report_parse_error(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return report_end(ui::print_help(error), false);
    }
    let has_json = std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json");
    if has_json {
        let words = std::env::args_os().collect::<Vec<_>>();
        return report_end(Err(cli::usage_error(error, &words)), has_json);
    }
    ui::print_usage_error(error, escaped_usage_error().as_ref());
    ExitKind::Usage.code().into()
}

/// The parser's error about the command line with its words escaped, as the error quotes them. `None` where the escaped
/// words are no error.
fn escaped_usage_error() -> Option<clap::Error> {
    let words = std::env::args_os().map(|word| base::Plain(word.to_string_lossy()).to_string());
    parse(words).err().filter(clap::Error::use_stderr)
}

/// Runs the command of the command line and prints its error, if it fails. Returns the exit code.
fn run(cli: Cli) -> ExitCode {
    let json = cli.json;
    die_with_parent::enable();
    let quiet = cli.output.quiet;
    let log = commands::begin_log();
    let prepared = harden().and_then(|()| end_run_when_stopped(log.clone(), json));
    let ended = prepared.and_then(|()| commands::run(cli, &log));
    begin_end();
    end_run(&log, ended, json, quiet)
}

/// Whether the end of the run is being reported. Only one thread reports it.
static HAS_ENDED: Mutex<bool> = Mutex::new(false);

/// Begins the end of the run. Does not return where another thread ends the run.
fn begin_end() {
    *HAS_ENDED.lock().unwrap_or_else(PoisonError::into_inner) = true;
}

/// Lets a stop request between the steps of a command, which watch for it themselves, end the run as one during a step
/// does: with its error, and with its result where `json` is set.
fn end_run_when_stopped(log: Arc<RunLog>, json: bool) -> anyhow::Result<()> {
    interrupt::end_stopped_run_with(move || {
        // The lock is held until the process ends.
        let mut has_ended = HAS_ENDED.lock().unwrap_or_else(PoisonError::into_inner);
        if !*has_ended {
            *has_ended = true;
            end_run(&log, Err(interrupt::stopped_error()), json, true);
            std::process::exit(ExitKind::Interrupted.code().into());
        }
    })
}

/// Reports how the run has `ended`, in its log too. Returns the exit code.
fn end_run(log: &RunLog, ended: anyhow::Result<()>, json: bool, quiet: bool) -> ExitCode {
    // A result that cannot be printed is an error of the run, too.
    let ended = if json { print_result(ended) } else { ended };
    let log_named = commands::end_log(log, &ended, json);
    // With `--json` the error is the last event.
    if let Some(event) = log_named.as_ref().filter(|_| json) {
        ui::print_event(event, json);
    }
    let has_next_step = ended.is_ok() && !json && !quiet;
    let code = report_error(ended, json);
    if has_next_step {
        ui::print_next_step();
    }
    if let Some(event) = log_named.filter(|_| !json) {
        ui::print_event(&event, json);
    }
    code
}

/// Reports how a command without a log `ended`: where `json` is set by its result on stdout, and in any case by its
/// error, if it has failed. Returns the exit code.
fn report_end(ended: anyhow::Result<()>, json: bool) -> ExitCode {
    report_error(if json { print_result(ended) } else { ended }, json)
}

/// Prints the result of a command that `ended`, as JSON. The ends of what has begun come before. Returns `ended`.
///
/// # Errors
/// The error of the command, or else that of printing.
fn print_result(ended: anyhow::Result<()>) -> anyhow::Result<()> {
    ui::end_events();
    ui::print_json_result(ended)
}

/// Prints the error of a command that `ended` with one. Returns the exit code.
fn report_error(ended: anyhow::Result<()>, json: bool) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::print_error(&error, json);
            failure::kind(&error).code().into()
        }
    }
}
