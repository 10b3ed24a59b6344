//! `setup`: installs what this machine lacks for building, flashing and deploying.

use anyhow::Result;

use crate::base::Context;
use crate::cli::Setup;
use crate::commands::{next_step, sudo};
use crate::setup::{self, Purpose, Sudo};
use crate::ui;

pub fn run(cx: &mut Context, args: &Setup) -> Result<()> {
    if let Some(configuration) = setup::configuration() {
        return if cx.json {
            ui::print_json(&configuration_json(configuration))
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
        return ui::print_json(&report);
    }
    Ok(())
}

/// The JSON of `setup` on a NixOS machine, on which it installs nothing.
fn configuration_json(configuration: &str) -> serde_json::Value {
    serde_json::json!({ "configuration": configuration })
}

#[cfg(test)]
mod tests {
    use super::configuration_json;

    #[test]
    fn the_json_has_the_configuration_as_text() {
        assert_eq!(configuration_json("a = \"b\";\n").to_string(), r#"{"configuration":"a = \"b\";\n"}"#);
    }
}
