//! `setup`: puts in place what this machine lacks for building, flashing and deploying.

use anyhow::{Context as _, Result};

use crate::cli::Setup;
use crate::context::Context;
use crate::setup::{self, Needs, Sudo};
use crate::ui;

pub fn run(cx: &mut Context, args: &Setup) -> Result<()> {
    if let Some(configuration) = setup::configuration() {
        return ui::result(&shown(configuration, cx.json));
    }
    let sudo = if args.yes { Sudo::Agreed } else { Sudo::Ask };
    let report = setup::ensure(cx, &[Needs::Build, Needs::Deploy], sudo)?;
    if cx.json {
        return ui::result(&serde_json::to_string(&report).context("writing the result as JSON")?);
    }
    Ok(())
}

/// What a NixOS machine is told, for people or for programs.
fn shown(configuration: &str, json: bool) -> String {
    if json {
        serde_json::json!({ "configuration": configuration }).to_string()
    } else {
        configuration.into()
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_configuration() {
        assert_eq!(shown("a = \"b\";\n", false), "a = \"b\";\n");
        assert_eq!(shown("a = \"b\";\n", true), r#"{"configuration":"a = \"b\";\n"}"#);
    }
}
