//! `record`: records the picture of the README from real runs.

use anyhow::{Context as _, Result};

use crate::base::Context;
use crate::dev::picture;
use crate::ui;

pub fn run(cx: &Context) -> Result<()> {
    let place = picture::place();
    let picture = cx.in_phase("record", || picture::record(cx))?;
    std::fs::write(&place, picture).with_context(|| format!("writing {}", place.display()))?;
    if cx.json {
        return ui::print_json(&serde_json::json!({ "picture": place }));
    }
    ui::print_verbatim(&place.display().to_string())
}
