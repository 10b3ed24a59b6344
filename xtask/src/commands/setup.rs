//! `setup`: puts in place what this machine lacks for building, flashing and deploying.

use anyhow::Result;

use crate::context::Context;
use crate::setup::{self, Needs};
use crate::ui;

pub fn run(cx: &mut Context) -> Result<()> {
    if let Some(configuration) = setup::configuration() {
        ui::result(configuration);
        return Ok(());
    }
    setup::ensure(cx, &[Needs::Build, Needs::Deploy])
}
