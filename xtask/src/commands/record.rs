//! `record`: records the picture of the README from real runs.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, JsonResult};
use crate::dev::picture;
use crate::ui;

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct RecordResult {
    /// The written file.
    picture: PathBuf,
}

impl JsonResult for RecordResult {}

pub fn run(cx: &Context) -> Result<()> {
    let place = picture::place();
    let picture = cx.in_phase("record", || picture::record(cx))?;
    std::fs::write(&place, picture).with_context(|| format!("writing {}", place.display()))?;
    if cx.json {
        return ui::print_json(&RecordResult { picture: place });
    }
    ui::print_verbatim(&place.display().to_string())
}
