//! `nix build`, reported as it runs.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::build_monitor::BuildMonitor;
use super::build_sandbox::refuse_weakening;
use super::eval::json;
use super::installable::Installable;
use super::{FEATURES, path_info};
use crate::base::failure::{ExitKind, kind};
use crate::base::process::Launcher;
use crate::base::{Event, Reporter, shell};
use crate::failure;

/// Flags that `nix build` accepts, and commands that evaluate do not.
const BUILD_ONLY_FLAGS: &[&str] = &["--no-link", "--print-out-paths", "--rebuild", "--dry-run", "--json"];
/// Options with a value of which the same is true.
const BUILD_ONLY_OPTIONS: &[&str] = &["-o", "--out-link", "--profile"];

/// The arguments for `nix build` that matter for an evaluation too.
pub fn eval_args(build_args: &[String]) -> Vec<String> {
    let mut args = Vec::new();
    let mut rest = build_args.iter();
    while let Some(arg) = rest.next() {
        if BUILD_ONLY_OPTIONS.contains(&arg.as_str()) {
            rest.next();
        } else if !BUILD_ONLY_FLAGS.contains(&arg.as_str()) {
            args.push(arg.clone());
        }
    }
    args
}

/// A finished build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The store path of the output `out`.
    pub out: PathBuf,
}

/// Builds `installable` without a result link and reports the progress. Nix gets `extra` unchanged. Where Nix only
/// repeats the failure of an earlier evaluation, the build is retried without the evaluation cache.
///
/// # Errors
/// The cause that Nix names, with the end of the log of the builder that failed.
pub fn build(
    launcher: &Launcher,
    installable: &Installable,
    extra: &[String],
    reporter: &dyn Reporter,
) -> Result<Built> {
    let json = run(launcher, std::slice::from_ref(installable), extra, reporter)?;
    parse_built(&json).with_context(|| format!("building {installable}"))
}

/// Builds all `installables` in one run of Nix, which continues where one of them fails; the error is that of the
/// first.
pub fn build_all(
    launcher: &Launcher,
    installables: &[Installable],
    extra: &[String],
    reporter: &dyn Reporter,
) -> Result<()> {
    let keep_going = ["--keep-going".to_owned()];
    let more: &[String] = if installables.len() > 1 { &keep_going } else { &[] };
    run(launcher, installables, &[more, extra].concat(), reporter).map(drop)
}

/// Runs `nix build --json`, and returns what it printed.
fn run(
    launcher: &Launcher,
    installables: &[Installable],
    extra: &[String],
    reporter: &dyn Reporter,
) -> Result<String> {
    refuse_weakening(extra)?;
    let started = Instant::now();
    reporter.report(&Event::Phase { name: "build".into(), total: None, bytes: false });
    // A derivation in the store is evaluated already.
    let is_evaluated = installables.iter().all(Installable::is_evaluated);
    let evaluates_apart = launcher.protects_keys() && !is_evaluated;
    let derivations =
        evaluates_apart.then(|| derivations(launcher, installables, extra, reporter)).transpose()?;
    let targets = derivations.as_deref().unwrap_or(installables);
    let mut attempt = attempt(launcher, targets, extra, reporter)?;
    if attempt.monitor.repeats_a_failure() {
        let uncached = [extra, &["--no-eval-cache".to_owned()]].concat();
        attempt = self::attempt(launcher, targets, &uncached, reporter)?;
    }
    let Some(json) = attempt.json else {
        return Err(attempt.monitor.into_error(&names(installables), &read_log_command(launcher)));
    };
    let amount = attempt.monitor.made();
    let seconds = started.elapsed().as_secs_f64();
    reporter.report(&Event::Done { name: "build".into(), amount, bytes: false, seconds });
    Ok(json)
}

/// The derivations of `installables`, evaluated before the build: a build has rights that an evaluation must not have.
fn derivations(
    launcher: &Launcher,
    installables: &[Installable],
    extra: &[String],
    reporter: &dyn Reporter,
) -> Result<Vec<Installable>> {
    let extra = eval_args(extra);
    let fixed = FEATURES.into_iter().chain(["path-info", "--derivation", "--json"]);
    let args = fixed
        .chain(installables.iter().map(Installable::as_str))
        .chain(extra.iter().map(String::as_str))
        .collect::<Vec<_>>();
    let names = names(installables);
    let paths = path_info::parse(&json(launcher, &args, &names, None, reporter)?);
    let paths = paths.with_context(|| format!("reading the derivations of {names}"))?;
    Ok(paths.into_iter().map(|(path, _)| Installable::derivation(path)).collect())
}

/// The command that prints the log of a derivation. It needs no feature of Nix, and the whole path where the Nix of
/// `setup` is not on the user's `PATH`.
fn read_log_command(launcher: &Launcher) -> String {
    let beside_nix = launcher.env("NIX_BIN_DIR").map(|folder| PathBuf::from(folder).join("nix-store"));
    let program =
        beside_nix.map_or_else(|| "nix-store".to_owned(), |path| shell::quote(&path.display().to_string()));
    format!("{program} --read-log")
}

/// All `installables` in one line, for messages.
fn names(installables: &[Installable]) -> String {
    installables.iter().map(Installable::to_string).collect::<Vec<_>>().join(" ")
}

/// One run of `nix build`; `json` is what it printed if it succeeded.
struct Attempt<'a> {
    monitor: BuildMonitor<'a>,
    json: Option<String>,
}

fn attempt<'a>(
    launcher: &Launcher,
    installables: &[Installable],
    extra: &[String],
    reporter: &'a dyn Reporter,
) -> Result<Attempt<'a>> {
    let fixed = ["build", "--json", "--no-link", "--log-format", "internal-json"];
    let fixed = FEATURES.iter().chain(&fixed).map(ToString::to_string);
    let args = fixed
        .chain(installables.iter().map(|it| it.as_str().to_owned()))
        .chain(extra.iter().cloned())
        .collect::<Vec<_>>();
    let mut monitor = BuildMonitor::new(reporter);
    let output =
        launcher.stream_killable("nix", &args, None, |line| monitor.line(line)).map_err(explain_interrupt)?;
    Ok(Attempt { monitor, json: output.success().then_some(output.stdout) })
}

/// Explains the `error` of a build that the user stopped: what is left of the build. Returns any other error unchanged.
fn explain_interrupt(error: anyhow::Error) -> anyhow::Error {
    match kind(&error) {
        ExitKind::Interrupted => failure!(
            Interrupted, "stopped before the build was complete";
            hint: "run the command again to continue: only finished parts are left, and the next run uses them"
        ),
        _ => error,
    }
}

/// Reads `nix build --json`: the output `out` of the first derivation.
fn parse_built(json: &str) -> Result<Built> {
    let built: Value = serde_json::from_str(json).context("reading the output of nix build")?;
    let out = built[0]["outputs"]["out"].as_str().context("nix build printed no output 'out'")?;
    Ok(Built { out: out.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_gets_no_options_of_builds_alone() {
        for (options, expected) in [
            ("--out-link result --offline", "--offline"),
            ("-L --rebuild --max-jobs 2 --no-link", "-L --max-jobs 2"),
            ("--keep-going -o result", "--keep-going"),
            ("-o", ""),
        ] {
            let options = options.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(eval_args(&options).join(" "), expected);
        }
    }

    #[test]
    fn the_output_out_is_read() {
        let json = r#"[{"drvPath":"/nix/store/a-x.drv","outputs":{"out":"/nix/store/b-x"},"startTime":1}]"#;
        assert_eq!(parse_built(json).unwrap().out, PathBuf::from("/nix/store/b-x"));
        for json in ["", "[]", r#"[{"outputs":{"out":null}}]"#] {
            assert!(parse_built(json).is_err(), "{json}");
        }
    }

    #[test]
    fn fuzz() {
        let json = r#"[{"drvPath":"/nix/store/a-x.drv","outputs":{"out":"/nix/store/b-x"},"startTime":1}]"#;
        crate::base::fuzz::check_text(&[json], |text| parse_built(text).is_ok());
    }
}
