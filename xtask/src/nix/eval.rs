//! Evaluates flakes: `nix eval`.

use std::collections::VecDeque;
use std::fmt::Display;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::build::eval_args;
use super::build_sandbox::refuse_weakening_settings;
use super::programs::Programs;
use super::warnings::Collector;
use super::{FEATURES, error};
use crate::base::failure::{ExitKind, kind};
use crate::base::process::{Launcher, Output, TimedOut};
use crate::base::{FlakeRef, Reporter, TimeLimit};
use crate::failure;

/// Forbids builds during an evaluation, and the settings of a flake, which could allow them.
const FORBID_BUILDS: &[&str] =
    &["--option", "allow-import-from-derivation", "false", "--option", "accept-flake-config", "false"];

/// The attribute path of all outputs of a flake, from Nix 2.19 on. Nix does not search packages for a path that begins
/// with a dot, and this one has nothing after the dot.
pub const ALL_OUTPUTS: &str = ".";

/// Keeps Nix from writing the lock of the flake, which a command that only shows something must not change. The result
/// of the evaluation is the same.
pub const KEEP_LOCK: &str = "--no-write-lock-file";

/// The `options` for Nix, with [`KEEP_LOCK`] at the end unless they have it.
pub fn with_keep_lock(options: &[String]) -> Vec<String> {
    let mut all = options.to_vec();
    if !options.iter().any(|option| option == KEEP_LOCK) {
        all.push(KEEP_LOCK.to_owned());
    }
    all
}

/// The `options` for Nix, with [`KEEP_LOCK`] where Nix cannot write the lock of `flake`: Nix would fail, also where it
/// has the result.
pub fn keep_unwritable_lock(launcher: &Launcher, flake: &FlakeRef, options: &[String]) -> Vec<String> {
    let is_unwritable = flake.folder().is_some_and(|folder| !is_lock_writable(launcher, folder));
    if is_unwritable { with_keep_lock(options) } else { options.to_vec() }
}

/// Whether Nix can write the lock of the flake in `folder`. Nobody writes to the store, and as root Nix evaluates
/// without the capabilities that override the modes of files.
fn is_lock_writable(launcher: &Launcher, folder: &Path) -> bool {
    let lock = folder.join("flake.lock");
    !folder.starts_with(error::NIX_STORE)
        && launcher.can_write_protected(folder)
        && (!lock.exists() || launcher.can_write_protected(&lock))
}

/// Whether the result of an evaluation with `options` may be cached: it is the result without options.
pub fn is_cacheable(options: &[String]) -> bool {
    options.iter().all(|option| option == KEEP_LOCK)
}

/// Evaluates the Nix function `apply`, such as `builtins.attrNames`, on the attribute `attribute` of `flake`. Nix
/// evaluates only the values that the function uses, so other attributes may throw. Nix gets `options` without those of
/// builds, with those of [`keep_unwritable_lock`], and `reporter` gets Nix's warnings.
///
/// # Errors
/// `Refused` for `options` that would let a build read the keys, and those of [`run_json`].
pub fn eval(
    launcher: &Launcher,
    flake: &FlakeRef,
    attribute: &str,
    apply: &str,
    options: &[String],
    reporter: &dyn Reporter,
) -> Result<Value> {
    refuse_weakening_settings(options)?;
    let installable = format!("{flake}#{attribute}");
    // Without the whole trace, the position in the flake would be hidden behind the positions in `apply`.
    let fixed = ["eval", "--json", "--show-trace", &installable, "--apply", apply];
    let mut args = [&FEATURES[..], &fixed].concat();
    let options = keep_unwritable_lock(launcher, flake, &eval_args(options));
    args.extend(options.iter().map(String::as_str));
    run_json(launcher, &args, flake, flake.folder(), reporter)
}

/// `text` as a string literal of the Nix language.
pub fn quote(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace("${", "\\${");
    format!("\"{escaped}\"")
}

/// Runs `nix` with `args`, which evaluate a flake, and parses the JSON that it prints. Errors name `subject`; `folder`
/// is the folder of the flake, if the flake is on this machine. Where Nix only repeats the failure of an earlier
/// evaluation, the command is retried without the evaluation cache.
///
/// stdout counts only with the exit code 0: Nix prints truncated JSON before it fails.
///
/// # Errors
/// That of Nix, those of [`explain_stop`], and output that is no JSON.
pub fn run_json(
    launcher: &Launcher,
    args: &[&str],
    subject: &dyn Display,
    folder: Option<&Path>,
    reporter: &dyn Reporter,
) -> Result<Value> {
    let mut output = run_with_limit(launcher, args, subject, reporter)?;
    if !output.success() && error::is_cached_failure(&output.stderr) {
        output = run_with_limit(launcher, &[args, &["--no-eval-cache"]].concat(), subject, reporter)?;
    }
    if !output.success() {
        let failed = error::evaluation_failed(&output.stderr, subject, folder, &Programs::of(launcher));
        return Err(error::blame_arguments(failed, &output.stderr, args, folder));
    }
    serde_json::from_str(&output.stdout).with_context(|| format!("reading the evaluation of {subject}"))
}

/// Runs `nix` with `args`, which evaluate `subject`. An evaluation can take long: the user can stop it, and it ends at
/// the launcher's time limit. The output has the last lines of stderr only.
///
/// # Errors
/// Those of [`explain_stop`].
fn run_with_limit(
    launcher: &Launcher,
    args: &[&str],
    subject: &dyn Display,
    reporter: &dyn Reporter,
) -> Result<Output> {
    let mut stderr = LastLines::default();
    let mut warnings = Collector::default();
    let forbid_builds = if launcher.forbids_builds() { FORBID_BUILDS } else { &[] };
    let args = [args, forbid_builds].concat();
    let mut on_line = |line: &str| {
        stderr.push(line);
        warnings.push(line);
    };
    let limit = launcher.evaluation_limit();
    let streamed = launcher
        .run_protected(|| launcher.stream_killable("nix", &args, Some(limit.duration()), &mut on_line));
    let output = streamed.map_err(|error| explain_stop(error, subject, limit))?;
    warnings.report(reporter);
    Ok(Output { stderr: stderr.0.into_iter().collect::<Vec<_>>().join("\n"), ..output })
}

/// The last lines that Nix printed. A flake can make Nix print traces without end, and the error comes last.
#[derive(Default)]
struct LastLines(VecDeque<String>);

impl LastLines {
    /// The most lines that are kept.
    const MAX_LINES: usize = 1000;
    /// The most characters that are kept of each line.
    const MAX_LINE_LENGTH: usize = 4000;

    fn push(&mut self, line: &str) {
        if self.0.len() == Self::MAX_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(Self::MAX_LINE_LENGTH).collect());
    }
}

/// Explains the `error` of an evaluation of `subject` that exceeded `limit` or that the user stopped. Returns any other
/// `error` unchanged.
fn explain_stop(error: anyhow::Error, subject: &dyn Display, limit: TimeLimit) -> anyhow::Error {
    if error.is::<TimedOut>() {
        return failure!(
            Other, "nix evaluated {subject} for more than {limit} and was stopped";
            hint: "pass a longer --eval-timeout, such as 2h; downloads and builds during the evaluation count too"
        );
    }
    if kind(&error) == ExitKind::Interrupted {
        return failure!(Interrupted, "stopped while nix evaluated the flake; nothing was changed");
    }
    error
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::base::Silent;
    use crate::base::program_file;

    #[test]
    fn a_lock_that_nix_cannot_write_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("flake.lock");
        let launcher = Launcher::new("/").protecting_keys();
        let options = |folder: &Path| {
            let flake = FlakeRef::with_all_files(folder);
            keep_unwritable_lock(&launcher, &flake, &["--offline".to_owned()]).join(" ")
        };
        let kept = format!("--offline {KEEP_LOCK}");
        assert_eq!(options(dir.path()), "--offline");
        set_permissions(dir.path(), Permissions::from_mode(0o555)).unwrap();
        assert_eq!(options(dir.path()), kept);
        set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        write(&lock, "").unwrap();
        assert_eq!(options(dir.path()), "--offline");
        set_permissions(&lock, Permissions::from_mode(0o444)).unwrap();
        assert_eq!(options(dir.path()), kept);
        assert_eq!(options(Path::new("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-flake")), kept);
        let url = keep_unwritable_lock(&launcher, &FlakeRef::of_url("github:o/f"), &[]);
        assert!(url.is_empty(), "{url:?}");
    }

    /// Nobody can write to the store.
    #[test]
    fn nix_gets_the_option_that_keeps_the_lock_of_a_flake_in_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let nix = dir.path().join("nix");
        let script = "#!/bin/sh\nfor last; do :; done\necho \"\\\"$last\\\"\"\n";
        program_file::write(&nix, script, 0o755).unwrap();
        let launcher = Launcher::new("/").with_path_front(dir.path());
        let flake = FlakeRef::with_all_files(Path::new("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-flake"));
        assert_eq!(eval(&launcher, &flake, "a", "it: it", &[], &Silent).unwrap(), KEEP_LOCK);
    }

    #[test]
    fn string_literals_are_escaped() {
        for (text, expected) in
            [("stinky", r#""stinky""#), (r#"a"b\"#, r#""a\"b\\""#), ("${x} $y", r#""\${x} $y""#)]
        {
            assert_eq!(quote(text), expected);
        }
    }

    #[test]
    fn the_last_lines_of_an_endless_evaluation_are_kept() {
        let mut lines = LastLines::default();
        for number in 0..5000 {
            lines.push(&format!("{number} {}", "x".repeat(10_000)));
        }
        assert_eq!((lines.0.len(), lines.0[0].len()), (LastLines::MAX_LINES, LastLines::MAX_LINE_LENGTH));
        assert!(lines.0[LastLines::MAX_LINES - 1].starts_with("4999 "));
    }
}
