//! `bench`: benchmarks this tool against its alternatives.

use std::num::NonZero;

use anyhow::Result;

use crate::base::Context;
use crate::cli::{Bench, BenchAssemble, BenchDeploy, BenchFlash, BenchHosts, BenchTrial, Benchmark};
use crate::commands::suite_parts;
use crate::dev::bench::{self, Measurements, Plan, Row};
use crate::ui;

pub fn run(cx: &mut Context, args: &Bench) -> Result<()> {
    match &args.benchmark {
        Benchmark::Flash(args) => bench_flash(cx, args),
        Benchmark::Assemble(args) => bench_assemble(cx, args),
        Benchmark::Deploy(args) => bench_deploy(cx, args),
        Benchmark::Hosts(args) => bench_hosts(cx, args),
        Benchmark::Trial(args) => bench_trial(cx, args),
    }
}

fn bench_flash(cx: &Context, args: &BenchFlash) -> Result<()> {
    let mode = args.mode.map(|mode| mode.to_string());
    let plan = Plan { cases: bench::select(&args.only), rounds: args.rounds, mode };
    bench::require(cx, &plan.cases)?;
    cx.show_plan(&plan);
    let cases = plan.run(cx)?;
    show_cases(cx, &plan, &cases)
}

fn show_cases(cx: &Context, plan: &Plan, cases: &[Measurements]) -> Result<()> {
    let rows = cases.iter().flat_map(bench::rows).collect::<Vec<_>>();
    if cx.json {
        let result = serde_json::json!({
            "rounds": plan.rounds, "not_run": plan.absent_peers(cx), "rows": rows, "cases": cases
        });
        return ui::print_json(&result);
    }
    ui::print_table(&bench::table(&rows))
}

fn bench_assemble(cx: &Context, args: &BenchAssemble) -> Result<()> {
    let comparison = bench::compare(cx, args.rounds)?;
    if cx.json {
        let ratio = comparison.ratio();
        let result = serde_json::json!({ "rounds": args.rounds, "ratio": ratio, "measured": comparison });
        return ui::print_json(&result);
    }
    ui::print_table(&comparison.table())?;
    ui::print_result(&comparison.image_summary())
}

fn bench_deploy(cx: &Context, args: &BenchDeploy) -> Result<()> {
    show_rows(cx, args.rounds, &bench::deploys(cx, args.rounds)?)
}

fn bench_hosts(cx: &Context, args: &BenchHosts) -> Result<()> {
    show_rows(cx, args.rounds, &bench::listings(cx, args.rounds)?)
}

fn bench_trial(cx: &mut Context, args: &BenchTrial) -> Result<()> {
    suite_parts::prepare_guests(cx);
    let cost = bench::trial_cost(cx, args.rounds)?;
    if cx.json { ui::print_json(&cost) } else { ui::print_result(&cost.summary()) }
}

fn show_rows(cx: &Context, rounds: NonZero<u32>, rows: &[Row]) -> Result<()> {
    if cx.json {
        return ui::print_json(&serde_json::json!({ "rounds": rounds, "rows": rows }));
    }
    ui::print_table(&bench::table(rows))
}
