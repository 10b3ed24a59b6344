//! `cargo xtask`: takes a Raspberry Pi from a NixOS flake to a running, verified host.
//!
//! Data flows one way through each command: gather, plan, show, act. Imports do too, from wing to wing: `commands`,
//! then `card`, `deploy`, `receipt` and `setup`, then `boot`, `identity` and `nix`, then `base`. Only `commands`
//! imports `ui`, and only the commands for development import `dev`.

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
mod nix;
mod receipt;
mod setup;
mod ui;
#[cfg(test)]
mod wings_tests;

use std::process::ExitCode;

pub use base::process::Launcher;
use base::{failure, hardening, interrupt};
pub use cli::Cli;

/// Prints what is wrong with the command line, as an event if `--json` is among its words; or prints the requested help
/// or version.
pub fn usage_error(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json");
    if !error.use_stderr() {
        if base::program::is_cargo_alias() {
            error.exit();
        }
        return if ui::print_help(error) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let text = error.render().to_string();
    let text = text.trim().trim_start_matches("error: ");
    if json {
        return failed(&failure::ExitKind::Usage.error(text), json);
    }
    ui::print_usage_error(&escaped_usage_error().unwrap_or(error.render().to_string()));
    failure::ExitKind::Usage.code().into()
}

/// The error of the parser for the escaped words of the command line: the parser quotes them.
fn escaped_usage_error() -> Option<String> {
    let words = std::env::args_os().map(|word| base::Plain(word.to_string_lossy()).to_string());
    let error = <Cli as clap::Parser>::try_parse_from(words).err()?;
    error.use_stderr().then(|| error.render().to_string())
}

/// Runs the command line, prints its error if there is one, and returns the exit code.
pub fn run(cli: Cli) -> ExitCode {
    let json = cli.json;
    if let Err(error) = hardening::forbid_core_dumps().and_then(|()| interrupt::keep_exit_codes()) {
        return failed(&error, json);
    }
    // The worker reports its errors on stdout to the tool that started it, which prints them.
    if let Some(code) = commands::run_worker(&cli.command) {
        return code.into();
    }
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, json),
    }
}

/// Prints `error` and returns its exit code.
fn failed(error: &anyhow::Error, json: bool) -> ExitCode {
    ui::print_error(error, json);
    failure::kind(error).code().into()
}
