//! Questions about a flake, answered by evaluation.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{FEATURES, error};
use crate::process::Launcher;

/// `nix flake show --json`: the raw inventory of the flake's outputs.
pub fn flake_show(launcher: &Launcher, flake: &str) -> Result<Value> {
    let args = [&FEATURES[..], &["flake", "show", "--json", flake]].concat();
    json(launcher, &args, flake)
}

/// The attribute `attr` seen through the Nix function `apply`, such as `builtins.attrNames`.
/// What the function does not look at is not evaluated, so an attribute that throws does not matter.
pub fn eval_attr_names(launcher: &Launcher, flake: &str, attr: &str, apply: &str) -> Result<Value> {
    let installable = format!("{flake}#{attr}");
    let args = [&FEATURES[..], &["eval", "--json", &installable, "--apply", apply]].concat();
    json(launcher, &args, flake)
}

/// `text` as a string of the Nix language.
pub fn quote(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace("${", "\\${");
    format!("\"{escaped}\"")
}

/// stdout is only read when the exit code is 0: nix prints truncated JSON before it fails. Where it only
/// repeats a failure of an earlier evaluation, it is asked again without its memory.
fn json(launcher: &Launcher, args: &[&str], flake: &str) -> Result<Value> {
    let mut output = launcher.capture("nix", args)?;
    if !output.success() && error::is_cached_failure(&output.stderr) {
        output = launcher.capture("nix", &[args, &["--no-eval-cache"]].concat())?;
    }
    if !output.success() {
        return Err(error::classify(&output.stderr, flake));
    }
    serde_json::from_str(&output.stdout).with_context(|| format!("reading what nix says about {flake}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_the_language() {
        for (text, expected) in
            [("stinky", r#""stinky""#), (r#"a"b\"#, r#""a\"b\\""#), ("${x} $y", r#""\${x} $y""#)]
        {
            assert_eq!(quote(text), expected);
        }
    }
}
