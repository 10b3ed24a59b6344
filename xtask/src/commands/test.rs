//! `test`: formatting, lints, and every suite that this machine can run.

use anyhow::Result;

use crate::cli::Test;
use crate::context::Context;
use crate::demo;
use crate::failure::Kind;
use crate::setup::{self, Needs, Sudo};
use crate::suites::{self, Extent, Need, Sorted};

/// What is checked before the suites, when none was named.
const CHECKS: [&[&str]; 2] =
    [&["fmt", "--all", "--check"], &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]];

pub fn run(cx: &mut Context, args: &Test) -> Result<()> {
    let suites = suites::select(&args.suites)?;
    prepare(cx);
    if suites.iter().any(|suite| suite.takes(Need::Programs)) {
        fetch_programs(cx);
    }
    let Sorted { whole, partly } = suites::sort(cx, suites);
    if args.suites.is_empty() {
        CHECKS.iter().try_for_each(|check| cargo(cx, check))?;
    }
    for (suite, missing) in &partly {
        cx.warn(format!("NOT RUN: tests of the suite '{}': {missing}", suite.name));
    }
    let parts = partly.iter().map(|(suite, _)| *suite).collect::<Vec<_>>();
    // The suites that run whole come last, so that the last line is one of tests that ran.
    let runs = [(parts, Extent::WithoutNeeds), (whole, Extent::Whole)];
    let runs = runs.iter().filter(|(suites, _)| !suites.is_empty());
    let results = runs.map(|(suites, extent)| cargo(cx, &suites::cargo_args(suites, *extent)));
    results.collect::<Vec<_>>().into_iter().collect()
}

/// What cannot be set up is no reason to run nothing: the suites that miss it are named.
fn prepare(cx: &mut Context) {
    if let Err(error) =
        setup::ensure(cx, &[Needs::Build, Needs::Deploy, Needs::Boot, Needs::Tests], Sudo::Ask)
    {
        cx.warn(format!("{error:#}"));
    }
}

/// Hands the suites the assembler's programs out of Debian's packages, which are fetched once.
fn fetch_programs(cx: &mut Context) {
    match demo::programs(cx) {
        Ok(folders) => {
            for (name, dir) in folders {
                cx.launcher = cx.launcher.clone().with_env(name, dir);
            }
        }
        Err(error) => cx.warn(format!("{error:#}")),
    }
}

/// Runs cargo on the terminal. The Nix of the suites builds what they bring and asks no cache for it.
fn cargo(cx: &Context, args: &[&str]) -> Result<()> {
    let words = args.join(" ");
    cx.note(format!("cargo {words}"));
    match cx.launcher.clone().with_env("NIX_CONFIG", "substitute = false").interact("cargo", args)? {
        0 => Ok(()),
        130 => Err(Kind::Interrupted.error(format!("cargo {words} was stopped"))),
        code => Err(Kind::Other.error(format!("cargo {words} ended with exit code {code}"))),
    }
}
