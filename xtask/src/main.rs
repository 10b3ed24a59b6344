use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    xtask::Cli::try_parse().map_or_else(|error| xtask::report_parse_error(&error), xtask::run)
}
