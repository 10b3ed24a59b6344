//! `log [HOST]`: prints the log of the last run, or of the last flash or deploy of a host.

use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, JsonResult, run_log};
use crate::cli::Log;
use crate::ui;

pub fn run(cx: &Context, args: &Log) -> Result<()> {
    let (path, text) = run_log::read(&cx.state, args.host.as_ref())?;
    if cx.json {
        return ui::print_json(&LogResult { file: path, lines: text.lines().collect() });
    }
    if ui::print_log(&text)? {
        cx.note(format!("long lines are cut here; {} has all of each", path.display()));
    }
    Ok(())
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct LogResult<'a> {
    file: PathBuf,
    lines: Vec<&'a str>,
}

impl JsonResult for LogResult<'_> {}
