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
            ui::print_json(&SetupResult {
                dry_run: args.dry_run,
                configuration: Some(configuration),
                setup: None,
            })
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
    let report = if args.dry_run { setup::plan(cx, &purposes)? } else { setup::ensure(cx, &purposes, sudo)? };
    if args.dry_run && !report.steps.is_empty() {
        next_step::after_dry_run();
    } else {
        next_step::overview();
    }
    if cx.json {
        return ui::print_json(&SetupResult {
            dry_run: args.dry_run,
            configuration: None,
            setup: Some(report),
        });
    }
    if args.dry_run { ui::print_result(&dry_run_line(report.steps.len())) } else { Ok(()) }
}

/// The result of a dry run with so many `steps`.
fn dry_run_line(steps: usize) -> String {
    match steps {
        0 => "dry run: nothing is missing".to_owned(),
        1 => "dry run: 1 step would be done; nothing was changed".to_owned(),
        _ => format!("dry run: {steps} steps would be done; nothing was changed"),
    }
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct SetupResult {
    dry_run: bool,
    /// What to add to the configuration of a NixOS machine, on which `setup` installs nothing.
    configuration: Option<&'static str>,
    /// What was done on any other machine, or would be done.
    setup: Option<Report>,
}

impl JsonResult for SetupResult {}
