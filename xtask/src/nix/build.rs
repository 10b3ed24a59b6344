//! `nix build`, followed as it runs.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::build_monitor::BuildMonitor;
use super::eval::json;
use super::shield::refuse_weakening;
use super::{FEATURES, path_info};
use crate::base::failure::{self, ExitKind};
use crate::base::process::Launcher;
use crate::base::{Event, Reporter};

/// What `nix build` takes and no other command of nix.
const ONLY_OF_BUILDS: [&str; 3] = ["--no-link", "--print-out-paths", "--rebuild"];

/// A finished build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The store path of the output `out`.
    pub out: PathBuf,
}

/// Builds `installable` without a result link and reports what goes on. `extra` goes to Nix as it is.
/// A failure ends with the last lines of the builder's log. Where Nix only repeats a failure of an
/// earlier evaluation, it is asked again without its memory.
pub fn build(
    launcher: &Launcher,
    installable: &str,
    extra: &[String],
    reporter: &dyn Reporter,
) -> Result<Built> {
    let json = run(launcher, &[installable.to_owned()], extra, reporter)?;
    parse_built(&json).with_context(|| format!("building {installable}"))
}

/// Builds all `installables` in one run, and goes on where one of them fails; the error is that of the first.
pub fn build_all(
    launcher: &Launcher,
    installables: &[String],
    extra: &[String],
    reporter: &dyn Reporter,
) -> Result<()> {
    let keep_going = ["--keep-going".to_owned()];
    let more: &[String] = if installables.len() > 1 { &keep_going } else { &[] };
    run(launcher, installables, &[more, extra].concat(), reporter).map(drop)
}

/// What `nix build --json` printed.
fn run(
    launcher: &Launcher,
    installables: &[String],
    extra: &[String],
    reporter: &dyn Reporter,
) -> Result<String> {
    refuse_weakening(extra)?;
    let started = Instant::now();
    reporter.report(&Event::Phase { name: "build".into(), total: None, bytes: false });
    let closed = launcher.keeps_keys().then(|| derivations(launcher, installables, extra)).transpose()?;
    let due = closed.as_deref().unwrap_or(installables);
    let mut attempt = attempt(launcher, due, extra, reporter)?;
    if attempt.watch.repeats_a_failure() {
        let again = [extra, &["--no-eval-cache".to_owned()]].concat();
        attempt = self::attempt(launcher, due, &again, reporter)?;
    }
    let Some(json) = attempt.json else { return Err(attempt.watch.into_error(&installables.join(" "))) };
    let (amount, seconds) = (attempt.watch.made(), started.elapsed().as_secs_f64());
    reporter.report(&Event::Done { name: "build".into(), amount, bytes: false, seconds });
    Ok(json)
}

/// What is to be built for `installables`, evaluated beforehand: a build has rights that an evaluation must not have.
fn derivations(launcher: &Launcher, installables: &[String], extra: &[String]) -> Result<Vec<String>> {
    let extra = extra.iter().map(String::as_str).filter(|word| !ONLY_OF_BUILDS.contains(word));
    let fixed = FEATURES.into_iter().chain(["path-info", "--derivation", "--json"]);
    let args = fixed.chain(installables.iter().map(String::as_str)).chain(extra).collect::<Vec<_>>();
    let what = installables.join(" ");
    let known = path_info::parse(&json(launcher, &args, &what)?);
    let known = known.with_context(|| format!("reading what nix says about {what}"))?;
    Ok(known.into_iter().map(|(path, _)| format!("{path}^*")).collect())
}

/// One run of `nix build`: what was seen, and what it printed if it succeeded.
struct Attempt<'a> {
    watch: BuildMonitor<'a>,
    json: Option<String>,
}

fn attempt<'a>(
    launcher: &Launcher,
    installables: &[String],
    extra: &[String],
    reporter: &'a dyn Reporter,
) -> Result<Attempt<'a>> {
    let fixed = ["build", "--json", "--no-link", "--log-format", "internal-json"];
    let fixed = FEATURES.iter().chain(&fixed).map(ToString::to_string);
    let args = fixed.chain(installables.iter().chain(extra).cloned()).collect::<Vec<_>>();
    let mut watch = BuildMonitor::new(reporter);
    let output = launcher.stream_killable("nix", &args, |line| watch.line(line)).map_err(stopped)?;
    Ok(Attempt { watch, json: output.success().then_some(output.stdout) })
}

fn stopped(error: anyhow::Error) -> anyhow::Error {
    match failure::kind(&error) {
        ExitKind::Interrupted => ExitKind::Interrupted.error(
            "stopped before the build was complete\n  nothing is left behind but finished parts, which \
             the next run uses",
        ),
        _ => error,
    }
}

/// Reads `nix build --json`: the output `out` of the first derivation.
fn parse_built(json: &str) -> Result<Built> {
    let built: Value = serde_json::from_str(json).context("reading what nix build printed")?;
    let out = built[0]["outputs"]["out"].as_str().context("nix build names no output 'out'")?;
    Ok(Built { out: out.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_found() {
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
