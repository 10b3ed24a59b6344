//! `setup`: puts in place what this machine lacks for building, flashing and deploying.

use anyhow::Result;

use crate::base::Context;
use crate::cli::Setup;
use crate::commands::sudo;
use crate::setup::{self, Needs, Sudo};
use crate::ui;

pub fn run(cx: &mut Context, args: &Setup) -> Result<()> {
    if let Some(configuration) = setup::configuration() {
        return if cx.json { ui::json(&shown(configuration)) } else { ui::own(configuration) };
    }
    let sudo = if args.yes { Sudo::Agreed } else { sudo::ASK };
    let report = setup::ensure(cx, &[Needs::Build, Needs::Deploy], sudo)?;
    if cx.json {
        return ui::json(&report);
    }
    Ok(())
}

/// What a NixOS machine is told, for programs.
fn shown(configuration: &str) -> serde_json::Value {
    serde_json::json!({ "configuration": configuration })
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_configuration() {
        assert_eq!(shown("a = \"b\";\n").to_string(), r#"{"configuration":"a = \"b\";\n"}"#);
    }
}
