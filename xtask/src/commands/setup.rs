//! `setup`: installs what this machine lacks for building, flashing and deploying.

use anyhow::Result;

use crate::base::Context;
use crate::cli::Setup;
use crate::commands::sudo;
use crate::setup::{self, Purpose, Sudo};
use crate::ui;

pub fn run(cx: &mut Context, args: &Setup) -> Result<()> {
    if let Some(configuration) = setup::configuration() {
        return if cx.json { ui::json(&as_json(configuration)) } else { ui::own(configuration) };
    }
    let sudo = if args.yes { Sudo::Confirmed } else { sudo::ASK };
    let report = setup::ensure(cx, &[Purpose::Build, Purpose::Deploy], sudo)?;
    if cx.json {
        return ui::json(&report);
    }
    Ok(())
}

/// The JSON for a NixOS machine, which is configured instead.
fn as_json(configuration: &str) -> serde_json::Value {
    serde_json::json!({ "configuration": configuration })
}

#[cfg(test)]
mod tests {
    use super::as_json;

    #[test]
    fn a_configuration() {
        assert_eq!(as_json("a = \"b\";\n").to_string(), r#"{"configuration":"a = \"b\";\n"}"#);
    }
}
