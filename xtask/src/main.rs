use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    xtask::Cli::try_parse().map_or_else(|error| xtask::usage_error(&error), xtask::run)
}
