//! Questions about a flake, answered by evaluation.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::shield::refuse_weakening;
use super::{FEATURES, error};
use crate::base::failure::{self, ExitKind};
use crate::base::percent_encoding;
use crate::base::process::{Launcher, Output};

/// A build takes rights of root that an evaluation must not have where there are keys of hosts.
const WITHOUT_BUILDS: [&str; 3] = ["--option", "allow-import-from-derivation", "false"];

/// `nix flake show --json`: the raw inventory of the flake's outputs.
pub fn flake_show(launcher: &Launcher, flake: &str) -> Result<Value> {
    let args = [&FEATURES[..], &["flake", "show", "--json", flake]].concat();
    json(launcher, &args, flake)
}

/// The attribute `attr` seen through the Nix function `apply`, such as `builtins.attrNames`.
/// What the function does not look at is not evaluated, so an attribute that throws does not matter.
/// `options` go to Nix as they are.
pub fn eval(launcher: &Launcher, flake: &str, attr: &str, apply: &str, options: &[String]) -> Result<Value> {
    refuse_weakening(options)?;
    let installable = format!("{flake}#{attr}");
    let mut args = [&FEATURES[..], &["eval", "--json", &installable, "--apply", apply]].concat();
    args.extend(options.iter().map(String::as_str));
    json(launcher, &args, flake)
}

/// The reference to the flake in `folder`, taken as it is, with what git ignores.
pub fn path_flake(folder: &Path) -> String {
    format!("path:{}", percent_encoding::encode(folder.as_os_str().as_bytes(), b"/"))
}

/// `text` as a string of the Nix language.
pub fn quote(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace("${", "\\${");
    format!("\"{escaped}\"")
}

/// `name` as one part of an attribute path behind the `#` of an installable: in quotes where it is more than a word, and
/// with what Nix would take for the end of the path or of the installable as percent signs and numbers.
///
/// # Errors
/// Of `Usage` for a name with a quotation mark, which Nix knows no way to write there.
pub fn attribute(name: &str) -> Result<String> {
    if name.contains('"') {
        let text =
            format!("Nix cannot be told to build `{name}`: an attribute with a quotation mark has no path");
        return Err(ExitKind::Usage.error(text));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-'".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return Ok(name.to_owned());
    }
    Ok(format!("\"{}\"", percent_encoding::encode(name.as_bytes(), b"")))
}

/// stdout is only read when the exit code is 0: nix prints truncated JSON before it fails. Where it only
/// repeats a failure of an earlier evaluation, it is asked again without its memory.
pub fn json(launcher: &Launcher, args: &[&str], flake: &str) -> Result<Value> {
    let mut output = ask(launcher, args)?;
    if !output.success() && error::is_cached_failure(&output.stderr) {
        output = ask(launcher, &[args, &["--no-eval-cache"]].concat())?;
    }
    if !output.success() {
        return Err(error::classify(&output.stderr, flake));
    }
    serde_json::from_str(&output.stdout).with_context(|| format!("reading what nix says about {flake}"))
}

/// An evaluation takes long enough to be stopped by the user.
fn ask(launcher: &Launcher, args: &[&str]) -> Result<Output> {
    let mut said = LastLines::default();
    let alone: &[&str] = if launcher.keeps_keys() { &WITHOUT_BUILDS } else { &[] };
    let args = [args, alone].concat();
    let followed = launcher.closed(|| launcher.stream_killable("nix", &args, |line| said.add(line)));
    let output = followed.map_err(stopped)?;
    Ok(Output { stderr: said.0.into_iter().collect::<Vec<_>>().join("\n"), ..output })
}

/// The last lines that Nix said: a flake can have it trace without end, and the error comes last.
#[derive(Default)]
struct LastLines(VecDeque<String>);

impl LastLines {
    /// How many lines are kept.
    const LINES: usize = 1000;
    /// How much of each is kept, in characters.
    const LENGTH: usize = 4000;

    fn add(&mut self, line: &str) {
        if self.0.len() == Self::LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(Self::LENGTH).collect());
    }
}

fn stopped(error: anyhow::Error) -> anyhow::Error {
    match failure::kind(&error) {
        ExitKind::Interrupted => {
            ExitKind::Interrupted.error("stopped while the flake was evaluated; nothing was changed")
        }
        _ => error,
    }
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

    #[test]
    fn of_an_evaluation_without_end_the_last_lines_are_kept() {
        let mut said = LastLines::default();
        for number in 0..5000 {
            said.add(&format!("{number} {}", "x".repeat(10_000)));
        }
        assert_eq!((said.0.len(), said.0[0].len()), (LastLines::LINES, LastLines::LENGTH));
        assert!(said.0[LastLines::LINES - 1].starts_with("4999 "));
    }
}
