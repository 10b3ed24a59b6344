//! `test`: checks formatting and lints, runs every suite that this machine can run, and lists the others.

use std::num::NonZero;

use anyhow::Result;

use crate::bail;
use crate::base::{Context, failure};
use crate::cli::Test;
use crate::commands::sudo;
use crate::dev::demo;
use crate::dev::suites::{self, Extent, Requirement, Suite};
use crate::setup::{self, Purpose};
use crate::ui;

/// The checks before the suites, run when no suite is named: arguments of cargo.
const CHECKS: &[&[&str]] = &[
    &["fmt", "--all", "--check"],
    &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
    &["doc", "--workspace", "--no-deps", "--document-private-items"],
];

pub fn run(cx: &mut Context, args: &Test) -> Result<()> {
    let (fuzz, suites) = suites::select(&args.suites)?.into_iter().partition::<Vec<_>, _>(|it| it.is_fuzz());
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
    let run = if suites.is_empty() { Ok(()) } else { run_suites(cx, args, suites) };
    let fuzzed =
        if fuzz.is_empty() { Ok(()) } else { run_fuzz(cx, args.minutes.unwrap_or(NonZero::<u32>::MIN)) };
    run.and(fuzzed)
}

fn run_suites(cx: &mut Context, args: &Test, suites: Vec<&'static Suite>) -> Result<()> {
    if suites.iter().any(|suite| suite.is_helped_by_setup(cx)) {
        prepare(cx);
    }
    if suites.iter().any(|suite| suite.needs(Requirement::Programs)) {
        fetch_programs(cx);
    }
    if suites.iter().any(|suite| suite.needs(Requirement::Guest) && suite.is_helped_by_setup(cx)) {
        fetch_guest(cx);
    }
    let sorted = suites::sort(cx, suites);
    if args.suites.is_empty() {
        CHECKS.iter().try_for_each(|check| cargo(cx, check))?;
    }
    let parts = sorted.partly.iter().map(|(suite, _)| *suite).collect::<Vec<_>>();
    // The whole suites run last: their output stays above the table.
    let runs = [(&parts, Extent::WithoutRequirements), (&sorted.whole, Extent::Whole)];
    let runs = runs.into_iter().filter(|(suites, _)| !suites.is_empty());
    let results = runs.map(|(suites, extent)| cargo(cx, &suites::cargo_args(suites, extent)));
    let result = results.collect::<Vec<_>>().into_iter().collect::<Result<()>>();
    show(cx, &suites::report(&cx.launcher, &sorted))?;
    result.and_then(|()| if args.suites.is_empty() { Ok(()) } else { require_whole(&sorted.partly) })
}

fn show(cx: &Context, reports: &[suites::Report]) -> Result<()> {
    if cx.json {
        return ui::json(&reports);
    }
    ui::result("")?;
    ui::table(&suites::table(reports))
}

/// Fails for a named suite that this machine cannot run whole.
fn require_whole(partly: &[(&Suite, String)]) -> Result<()> {
    if partly.is_empty() {
        return Ok(());
    }
    let lines =
        partly.iter().map(|(suite, why)| format!("the suite '{}' was not run whole: {why}", suite.name));
    bail!(Other, "{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Runs the property tests for about `minutes`. Cargo prints the smallest input of each finding.
fn run_fuzz(cx: &mut Context, minutes: NonZero<u32>) -> Result<()> {
    let run = suites::property::Run::gather(cx, minutes)?;
    let suites::property::Run { parsers, seconds, .. } = run;
    cx.note(format!("fuzz: {parsers} parsers, {seconds} s for each"));
    cx.launcher = cx.launcher.clone().with_env(suites::property::SECONDS, seconds.to_string());
    cargo(cx, &run.cargo_args())?;
    cx.note(format!("fuzz: no finding in {parsers} parsers, {seconds} s for each"));
    Ok(())
}

/// Installs requirements of the suites. A failed setup is only a warning: the table lists the suites that lack it.
fn prepare(cx: &mut Context) {
    if let Err(error) =
        setup::ensure(cx, &[Purpose::Build, Purpose::Deploy, Purpose::Boot, Purpose::Tests], sudo::ASK)
    {
        cx.warn(failure::with_hint(&error));
    }
}

/// Passes the assembler's programs from Debian's packages, fetched once, to the suites.
fn fetch_programs(cx: &mut Context) {
    match demo::stage_programs(cx) {
        Ok(folders) => {
            for (name, dir) in folders {
                cx.launcher = cx.launcher.clone().with_env(name, dir);
            }
        }
        Err(error) => cx.warn(failure::with_hint(&error)),
    }
}

/// Prepares what guests need, as for the suite `trial`.
pub fn prepare_guests(cx: &mut Context) {
    prepare(cx);
    fetch_programs(cx);
    fetch_guest(cx);
}

/// Passes the parts of a guest, fetched once, to the suites.
fn fetch_guest(cx: &mut Context) {
    match demo::stage_guest(cx) {
        Ok(dir) => cx.launcher = cx.launcher.clone().with_env(demo::GUEST, dir),
        Err(error) => cx.warn(failure::with_hint(&error)),
    }
}

/// Runs cargo on the terminal. The Nix of the suites builds their derivations itself and queries no cache.
fn cargo<S: AsRef<str>>(cx: &Context, args: &[S]) -> Result<()> {
    let args = args.iter().map(AsRef::as_ref).collect::<Vec<_>>();
    let words = args.join(" ");
    cx.note(format!("cargo {words}"));
    match cx.launcher.clone().with_env("NIX_CONFIG", "substitute = false").interact("cargo", &args)? {
        0 => Ok(()),
        130 => bail!(Interrupted, "cargo {words} was stopped"),
        code => bail!(Other, "cargo {words} failed with exit code {code}"),
    }
}
