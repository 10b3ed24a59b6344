//! `test`: checks formatting and lints, runs every suite that this machine can run, and lists the others.

use std::num::NonZero;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::bail;
use crate::base::failure::{ExitKind, kind, with_hint};
use crate::base::process::Launcher;
use crate::base::{Context, JsonResult};
use crate::cli::Test;
use crate::commands::suite_parts;
use crate::dev::suites::{self, Extent, Requirement, SortedSuites, Suite};
use crate::ui;

/// The checks before the suites, each as the arguments of cargo. They run only if no suite is named.
const CHECKS: &[&[&str]] = &[
    &["fmt", "--all", "--check"],
    &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
    &["doc", "--workspace", "--no-deps", "--document-private-items"],
];

pub fn run(cx: &mut Context, args: &Test) -> Result<()> {
    let (fuzz, suites) =
        suites::select(&args.suites)?.into_iter().partition::<Vec<_>, _>(|suite| suite.is_fuzz());
    if fuzz.is_empty() && args.minutes.is_some() {
        bail!(Usage, "--minutes applies only to the suite fuzz"; hint: "name it: `cargo xtask test fuzz`");
    }
    match args.cuts {
        Some(_) if !suites.iter().any(|suite| suite.is_boot_cuts()) => {
            bail!(Usage, "--cuts applies only to the suite boot-cuts"; hint: "name it: `cargo xtask test boot-cuts`")
        }
        Some(cuts) => cx.launcher = cx.launcher.clone().with_env(suites::CUTS, cuts.to_string()),
        None => {}
    }
    let suites_result = if suites.is_empty() { Ok(()) } else { run_suites(cx, args, suites) };
    let minutes = args.minutes.unwrap_or(NonZero::<u32>::MIN);
    let fuzz_result = if fuzz.is_empty() { Ok(()) } else { run_fuzz(cx, minutes) };
    suites_result.and(fuzz_result)
}

fn run_suites(cx: &mut Context, args: &Test, suites: Vec<&'static Suite>) -> Result<()> {
    if suites.iter().any(|suite| suite.is_helped_by_setup(cx)) {
        suite_parts::install_requirements(cx)?;
    }
    if suites.iter().any(|suite| suite.needs(Requirement::Programs)) {
        suite_parts::fetch_programs(cx)?;
    }
    if suites.iter().any(|suite| suite.needs(Requirement::Guest) && suite.is_helped_by_setup(cx)) {
        suite_parts::fetch_guest(cx)?;
    }
    let mut sorted = suites::sort(cx, suites);
    let is_suite_named = !args.suites.is_empty();
    if !is_suite_named {
        CHECKS.iter().try_for_each(|check| cargo(cx, check))?;
    }
    let staged = stage_nixes(cx, &mut sorted)?;
    let partly = sorted.partly.iter().map(|(suite, _)| *suite).collect::<Vec<_>>();
    // The whole suites run last, so that their output is right above the table. They run also if the first run fails.
    let partly_result = run_group(cx, &partly, Extent::WithoutRequirements);
    if is_interrupted(&partly_result) {
        return partly_result;
    }
    let whole_result = run_whole(cx, &sorted.whole, staged);
    let reports = suites::report(&cx.launcher, &sorted, Extent::of_this_user());
    let verdict = if is_suite_named || args.whole { require_whole(&reports, is_suite_named) } else { Ok(()) };
    show(cx, reports)?;
    partly_result.and(whole_result)?;
    verdict
}

/// Provides the Nix of each suite that has its own. A suite whose Nix cannot be fetched does not run whole.
///
/// # Errors
/// `Interrupted` where the user stops it.
fn stage_nixes(cx: &Context, sorted: &mut SortedSuites) -> Result<Vec<(&'static Suite, Launcher)>> {
    let mut staged = Vec::new();
    for suite in sorted.whole.clone() {
        match suite.nix.map(|nix| nix.stage(cx)) {
            None => {}
            Some(Ok(launcher)) => staged.push((suite, launcher)),
            Some(Err(error)) if kind(&error) == ExitKind::Interrupted => return Err(error),
            Some(Err(error)) => {
                sorted.whole.retain(|whole| *whole != suite);
                sorted.partly.push((suite, with_hint(&error)));
            }
        }
    }
    Ok(staged)
}

/// Runs all tests of `suites` that this user can run: those with the machine's Nix in one run of cargo, each of those
/// that are `staged` in its own. All run, also if one fails, unless the user stops one.
fn run_whole(cx: &Context, suites: &[&'static Suite], staged: Vec<(&'static Suite, Launcher)>) -> Result<()> {
    let own = suites.iter().copied().filter(|suite| suite.nix.is_none()).collect::<Vec<_>>();
    let extent = Extent::of_this_user();
    let mut result = run_group(cx, &own, extent);
    for (suite, launcher) in staged {
        if is_interrupted(&result) {
            break;
        }
        result = result.and(cargo_by(cx, launcher, &suites::cargo_args(&[suite], extent)));
    }
    result
}

fn is_interrupted(result: &Result<()>) -> bool {
    result.as_ref().is_err_and(|error| kind(error) == ExitKind::Interrupted)
}

/// Runs `suites` to the same `extent` in one run of cargo; none without a suite.
fn run_group(cx: &Context, suites: &[&'static Suite], extent: Extent) -> Result<()> {
    if suites.is_empty() { Ok(()) } else { cargo(cx, &suites::cargo_args(suites, extent)) }
}

/// The JSON result.
#[derive(Serialize, JsonSchema)]
pub struct TestResult {
    suites: Vec<suites::Report>,
}

impl JsonResult for TestResult {}

fn show(cx: &Context, reports: Vec<suites::Report>) -> Result<()> {
    if cx.json {
        return ui::print_json(&TestResult { suites: reports });
    }
    ui::print_result("")?;
    ui::print_table(&suites::table(&reports))
}

/// Fails if one of the suites did not run whole: each with the reason. What needs source trees counts only if it
/// `is_named`.
fn require_whole(reports: &[suites::Report], is_named: bool) -> Result<()> {
    let counts = |report: &&suites::Report| is_named || !suites::needs(report.suite, Requirement::Inputs);
    let partly =
        reports.iter().filter(counts).filter_map(|report| Some((report.suite, report.why.as_ref()?)));
    let lines = partly.map(|(suite, why)| format!("the suite '{suite}' was not run whole: {why}"));
    let lines = lines.collect::<Vec<_>>();
    if lines.is_empty() {
        return Ok(());
    }
    bail!(Other, "{}", lines.join("\n"))
}

/// Runs the property tests of all parsers for about `minutes`. Cargo prints the smallest input of each finding.
fn run_fuzz(cx: &mut Context, minutes: NonZero<u32>) -> Result<()> {
    let run = suites::property::Run::gather(cx, minutes)?;
    let suites::property::Run { parsers, seconds, .. } = run;
    cx.note(format!("fuzz: {parsers} parsers, {seconds} s for each"));
    cx.launcher = cx.launcher.clone().with_env(suites::property::SECONDS, seconds.to_string());
    cargo(cx, &run.cargo_args())?;
    cx.note(format!("fuzz: no finding in {parsers} parsers, {seconds} s for each"));
    Ok(())
}

fn cargo<S: AsRef<str>>(cx: &Context, args: &[S]) -> Result<()> {
    cargo_by(cx, cx.launcher.clone(), args)
}

/// Runs cargo on the terminal. In the suites, Nix builds all derivations itself and queries no binary cache.
fn cargo_by<S: AsRef<str>>(cx: &Context, launcher: Launcher, args: &[S]) -> Result<()> {
    let args = args.iter().map(AsRef::as_ref).collect::<Vec<_>>();
    let words = args.join(" ");
    cx.note(format!("cargo {words}"));
    match launcher.with_env("NIX_CONFIG", "substitute = false").interact("cargo", &args)? {
        0 => Ok(()),
        130 => bail!(Interrupted, "cargo {words} was stopped"),
        code => bail!(Other, "cargo {words} failed with exit code {code}"),
    }
}
