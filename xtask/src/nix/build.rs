//! `nix build`, reported as it runs.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::build_failures::BuildFailures;
use super::build_monitor::BuildMonitor;
use super::build_plan::{BuildPlan, BuildTimes, DryRun, agree, dry_run};
use super::build_sandbox::refuse_weakening_settings;
use super::eval::run_json;
use super::idle_builders::note_idle_builders;
use super::installable::Installable;
use super::programs::Programs;
use super::{FEATURES, path_info};
use crate::base::failure::{ExitKind, copy, kind};
use crate::base::process::Launcher;
use crate::base::{Context as Cx, Reporter, RunningPhase, Silent, parallel};
use crate::failure;

/// Flags that `nix build` accepts, but commands that evaluate do not.
pub(super) const BUILD_ONLY_FLAGS: &[&str] = &["--no-link", "--rebuild"];
/// Options with a value that `nix build` accepts, but commands that evaluate do not.
pub(super) const BUILD_ONLY_OPTIONS: &[&str] = &["-o", "--out-link", "--profile"];

/// How many times Nix is asked at once for what an installable needs.
const MAX_QUERIES: usize = 4;

/// Those of `build_args`, the arguments for `nix build`, that commands that evaluate accept too.
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

/// Plans and builds `installable` without a result link, and reports the progress. Nix gets `options` unchanged. Where
/// Nix only repeats the failure of an earlier evaluation, it evaluates again without its cache.
///
/// # Errors
/// Those of [`agree`]; the cause that Nix names, with the end of the log of the builder that failed.
pub fn build(cx: &Cx, installable: &Installable, options: &[String]) -> Result<Built> {
    let json = run_build(cx, std::slice::from_ref(installable), options)
        .map_err(|failure| failure.of_all(&cx.launcher, &installable.to_string()))?;
    parse_built(&json).with_context(|| format!("building {installable}"))
}

/// Builds all `installables` in one run of Nix, which continues where a build fails. Returns one item for each of them,
/// in their order: its own failure, or `None`.
pub fn build_all(cx: &Cx, installables: &[Installable], options: &[String]) -> Vec<Option<anyhow::Error>> {
    let mut all_options = options.to_vec();
    if installables.len() > 1 {
        all_options.insert(0, "--keep-going".to_owned());
    }
    match run_build(cx, installables, &all_options) {
        Ok(_) => installables.iter().map(|_| None).collect(),
        Err(Failure::Builds(failures)) if installables.len() > 1 => {
            parallel::map(MAX_QUERIES, installables, |each| failures.error_for(&cx.launcher, each))
        }
        Err(failure) => {
            let error = failure.of_all(&cx.launcher, &join_names(installables));
            installables.iter().map(|_| Some(copy(&error))).collect()
        }
    }
}

/// Builds all `installables` as [`build_all`] does. Returns one item for each of them, in their order.
pub fn build_each(cx: &Cx, installables: &[Installable], options: &[String]) -> Vec<Result<Built>> {
    let errors = build_all(cx, installables, options);
    parallel::map(MAX_QUERIES, installables.iter().zip(errors), |(installable, error)| {
        error.map_or_else(|| find_built(&cx.launcher, installable, options), Err)
    })
}

/// The output of `installable`, which was built with these `options`.
fn find_built(launcher: &Launcher, installable: &Installable, options: &[String]) -> Result<Built> {
    let attempt = Attempt::run(launcher, std::slice::from_ref(installable), options, &Silent)?;
    let json = attempt.json.with_context(|| format!("{installable} was built, and nix does not find it"))?;
    parse_built(&json).with_context(|| format!("finding {installable}"))
}

/// Whether Nix has nothing to build for `installable`: all of it is in the store, or in a cache that Nix uses.
/// `options` are those of the build. False where Nix cannot tell.
pub fn builds_nothing(launcher: &Launcher, installable: &Installable, options: &[String]) -> bool {
    let to_build = derivations(launcher, std::slice::from_ref(installable), options, &Silent);
    let run = to_build.and_then(|to_build| dry_run(launcher, &to_build, options));
    run.as_ref().is_ok_and(DryRun::builds_nothing)
}

/// What a build of `installables` with `options` would do.
///
/// # Errors
/// Those of the evaluation, and that of Nix for a build that it cannot plan.
pub fn plan(cx: &Cx, installables: &[Installable], options: &[String]) -> Result<BuildPlan> {
    refuse_weakening_settings(options)?;
    let derivations = derivations(&cx.launcher, installables, options, cx.reporter.as_ref())?;
    BuildPlan::make(cx, &derivations, options)
}

/// Why a run of Nix has no result.
enum Failure {
    /// The run did not come to builds, or the user stopped it.
    Run(anyhow::Error),
    /// Builds failed.
    Builds(BuildFailures),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Run(error)
    }
}

impl Failure {
    /// The error for all that was to be built, with the name `installables`.
    fn of_all(self, launcher: &Launcher, installables: &str) -> anyhow::Error {
        match self {
            Self::Run(error) => error,
            Self::Builds(failures) => failures.error(installables, &Programs::of(launcher)),
        }
    }
}

/// Evaluates `installables`, plans the build, and runs `nix build --json`. Returns the JSON.
fn run_build(cx: &Cx, installables: &[Installable], options: &[String]) -> Result<String, Failure> {
    refuse_weakening_settings(options)?;
    let reporter = cx.reporter.as_ref();
    let derivations = derivations(&cx.launcher, installables, options, reporter)?;
    let mut options = options.to_vec();
    match cx.in_phase("plan", || BuildPlan::make(cx, &derivations, &options)) {
        Ok(plan) => {
            agree(cx, &plan)?;
            if plan.derivations.is_empty() {
                note_idle_builders(cx, &options);
            }
            options.extend(plan.builder_options);
        }
        Err(error) if kind(&error) == ExitKind::Interrupted => return Err(explain_interrupt(error).into()),
        // Where Nix cannot plan the build, the build itself shows why.
        Err(_) => {}
    }
    let phase = RunningPhase::begin(reporter, "build");
    let mut attempt = Attempt::run(&cx.launcher, &derivations, &options, reporter)?;
    // A memory that cannot be written costs the next estimate alone.
    let _ = BuildTimes::remember(&cx.state, &attempt.monitor.take_times());
    let Some(json) = attempt.json else {
        return Err(Failure::Builds(attempt.monitor.into_failures()));
    };
    phase.end(attempt.monitor.made_count());
    Ok(json)
}

/// The derivations of `installables`. Those that are attributes are evaluated: before the build, as a build has rights
/// that an evaluation must not have, and as the plan is that of what is built.
fn derivations(
    launcher: &Launcher,
    installables: &[Installable],
    options: &[String],
    reporter: &dyn Reporter,
) -> Result<Vec<Installable>> {
    if installables.iter().all(Installable::is_evaluated) {
        return Ok(installables.to_vec());
    }
    let options = eval_args(options);
    let mut args = [&FEATURES[..], &["path-info", "--derivation", "--json"]].concat();
    args.extend(installables.iter().map(Installable::as_str));
    args.extend(options.iter().map(String::as_str));
    let names = join_names(installables);
    let json = run_json(launcher, &args, &names, None, reporter)?;
    let infos = path_info::parse(&json).with_context(|| format!("reading the derivations of {names}"))?;
    Ok(infos.into_iter().map(|(path, _size)| Installable::derivation(path)).collect())
}

/// The names of all `installables` in one line, for messages.
pub(super) fn join_names(installables: &[Installable]) -> String {
    installables.iter().map(Installable::to_string).collect::<Vec<_>>().join(" ")
}

/// One run of `nix build`.
struct Attempt<'a> {
    monitor: BuildMonitor<'a>,
    /// The JSON that Nix printed; `None` where the run failed.
    json: Option<String>,
}

impl<'a> Attempt<'a> {
    fn run(
        launcher: &Launcher,
        installables: &[Installable],
        options: &[String],
        reporter: &'a dyn Reporter,
    ) -> Result<Self> {
        let fixed = ["build", "--json", "--no-link", "--log-format", "internal-json"];
        let mut args = [&FEATURES[..], &fixed].concat();
        args.extend(installables.iter().map(Installable::as_str));
        args.extend(options.iter().map(String::as_str));
        let mut monitor = BuildMonitor::new(reporter);
        let output = launcher
            .stream_killable("nix", &args, None, |line| monitor.process_line(line))
            .map_err(explain_interrupt)?;
        Ok(Self { monitor, json: output.success().then_some(output.stdout) })
    }
}

/// The error of a build that the user stopped, with a hint how to continue. Returns any other `error` unchanged.
fn explain_interrupt(error: anyhow::Error) -> anyhow::Error {
    match kind(&error) {
        ExitKind::Interrupted => failure!(
            Interrupted, "stopped before the build was complete";
            hint: "run the command again to continue: the next run uses the parts that are finished"
        ),
        _ => error,
    }
}

/// Reads the output of `nix build --json`: the output `out` of the first derivation.
fn parse_built(json: &str) -> Result<Built> {
    let built: Value = serde_json::from_str(json).context("reading the output of nix build")?;
    let out = built[0]["outputs"]["out"].as_str().context("nix build printed no output 'out'")?;
    Ok(Built { out: out.into() })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::FlakeRef;
    use crate::base::program_file;

    #[test]
    fn an_evaluation_gets_no_options_for_builds_only() {
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

    /// `nix build` of root has rights that an evaluation must not have, also with `--dry-run`.
    #[test]
    fn a_dry_run_gets_derivations_only() {
        let dir = tempfile::tempdir().unwrap();
        let nix = dir.path().join("nix");
        let derivation = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-x.drv";
        let infos = format!("[{{\"path\":\"{derivation}\",\"narSize\":1}}]");
        let script = format!("#!/bin/sh\necho \"$@\" >>\"${{0%nix}}calls\"\necho '{infos}'\n");
        program_file::write(&nix, script, 0o755).unwrap();
        let launcher = Launcher::new("/").with_path_front(dir.path()).protecting_keys();
        let flake = FlakeRef::of_url("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-flake");
        assert!(builds_nothing(&launcher, &Installable::attribute(&flake, &["x"]).unwrap(), &[]));
        let calls = fs::read_to_string(dir.path().join("calls")).unwrap();
        let builds = calls.lines().filter(|call| call.contains(" build --dry-run ")).collect::<Vec<_>>();
        assert!(builds.len() == 1 && builds[0].ends_with(&format!(" {derivation}^*")), "{calls}");
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
