//! `bench`: benchmarks this tool against its alternatives.

use std::num::NonZero;

use anyhow::Result;

use crate::base::Context;
use crate::cli::{Bench, BenchAssemble, BenchDeploy, BenchFlash, BenchHosts, BenchTrial, Benchmark};
use crate::commands::test;
use crate::dev::bench::{self, Measurements, Plan, Row};
use crate::ui;

pub fn run(cx: &mut Context, args: &Bench) -> Result<()> {
    match &args.what {
        Benchmark::Flash(args) => flash(cx, args),
        Benchmark::Assemble(args) => assemble(cx, args),
        Benchmark::Deploy(args) => deploy(cx, args),
        Benchmark::Hosts(args) => hosts(cx, args),
        Benchmark::Trial(args) => trial(cx, args),
    }
}

fn flash(cx: &Context, args: &BenchFlash) -> Result<()> {
    let mode = args.mode.map(|mode| mode.to_string());
    let plan = Plan { cases: bench::select(&args.only), rounds: args.rounds, mode };
    bench::require(cx, &plan.cases)?;
    cx.show_plan(&plan);
    let measured = plan.run(cx)?;
    show(cx, &plan, &measured)
}

fn show(cx: &Context, plan: &Plan, measured: &[Measurements]) -> Result<()> {
    let rows = measured.iter().flat_map(bench::rows).collect::<Vec<_>>();
    if cx.json {
        let result = serde_json::json!({
            "rounds": plan.rounds, "not_run": plan.absent_peers(cx), "rows": rows, "cases": measured
        });
        return ui::json(&result);
    }
    ui::table(&bench::table(&rows))
}

fn assemble(cx: &Context, args: &BenchAssemble) -> Result<()> {
    let comparison = bench::compare(cx, args.rounds)?;
    if cx.json {
        let result =
            serde_json::json!({ "rounds": args.rounds, "ratio": comparison.ratio(), "measured": comparison });
        return ui::json(&result);
    }
    ui::table(&comparison.table())?;
    ui::result(&comparison.image_summary())
}

fn deploy(cx: &Context, args: &BenchDeploy) -> Result<()> {
    show_rows(cx, args.rounds, &bench::deploys(cx, args.rounds)?)
}

fn hosts(cx: &Context, args: &BenchHosts) -> Result<()> {
    show_rows(cx, args.rounds, &bench::listings(cx, args.rounds)?)
}

fn trial(cx: &mut Context, args: &BenchTrial) -> Result<()> {
    test::prepare_guests(cx);
    let cost = bench::trial_cost(cx, args.rounds)?;
    if cx.json { ui::json(&cost) } else { ui::result(&cost.summary()) }
}

fn show_rows(cx: &Context, rounds: NonZero<u32>, rows: &[Row]) -> Result<()> {
    if cx.json {
        return ui::json(&serde_json::json!({ "rounds": rounds, "rows": rows }));
    }
    ui::table(&bench::table(rows))
}
