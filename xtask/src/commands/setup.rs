//! `setup`: installs what this machine lacks for building, flashing and deploying.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, JsonResult};
use crate::cli::Setup;
use crate::commands::{next_step, sudo};
use crate::setup::{self, Purpose, Report, Sudo};
use crate::ui;

pub fn run(cx: &mut Context, args: &Setup) -> Result<()> {
    if let Some(configuration) = setup::configuration() {
        return if cx.json {
            ui::print_json(&SetupResult { configuration: Some(configuration), setup: None })
        } else {
            ui::print_own_text(configuration)
        };
    }
    let sudo = if args.yes { Sudo::Confirmed } else { sudo::ASK };
    let mut purposes = vec![Purpose::Build, Purpose::Deploy];
    if args.boot {
        purposes.extend([Purpose::Boot, Purpose::Snapshot]);
    }
    if args.backups {
        purposes.push(Purpose::Backups);
    }
    let report = setup::ensure(cx, &purposes, sudo)?;
    next_step::overview();
    if cx.json {
        return ui::print_json(&SetupResult { configuration: None, setup: Some(report) });
    }
    Ok(())
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct SetupResult {
    /// What to add to the configuration of a NixOS machine, on which `setup` installs nothing.
    configuration: Option<&'static str>,
    /// What was done on any other machine.
    setup: Option<Report>,
}

impl JsonResult for SetupResult {}
