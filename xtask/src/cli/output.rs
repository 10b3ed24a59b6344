//! The options that decide what a command prints of its story.

use std::path::PathBuf;

use clap::Args;

use super::GLOBAL_HEADING;
use super::output_file::output_file;
use crate::base::Verbosity;

#[derive(Debug, Default, Args)]
pub struct OutputArgs {
    /// Print only the result, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL_HEADING)]
    pub quiet: bool,
    /// Also print the command line of each program that is run, and all that deploy-rs prints
    #[arg(short, long, global = true, help_heading = GLOBAL_HEADING)]
    pub verbose: bool,
    /// Also write the log of this run to a file: events, command lines, the stderr of programs, exit codes, times
    #[arg(long, global = true, value_name = "FILE", value_parser = output_file(), help_heading = GLOBAL_HEADING)]
    pub log_file: Option<PathBuf>,
}

impl OutputArgs {
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }
}
