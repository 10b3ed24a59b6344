//! `log [HOST]`: prints the log of the last run, or of the last flash or deploy of a host.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::base::{Context, run_log};
use crate::cli::Log;
use crate::ui;

pub fn run(cx: &Context, args: &Log) -> Result<()> {
    let (path, text) = run_log::read(&cx.state, args.host.as_ref())?;
    if cx.json {
        return ui::print_json(&LogReport { file: path, lines: text.lines().collect() });
    }
    ui::print_log(&text)
}

/// The JSON of `log`.
#[derive(Serialize)]
struct LogReport<'a> {
    file: PathBuf,
    lines: Vec<&'a str>,
}
