//! `bench`: benchmarks this tool against its alternatives.

use std::collections::BTreeSet;
use std::num::NonZero;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, JsonResult};
use crate::cli::{
    Bench, BenchAssemble, BenchDeploy, BenchEdit, BenchEvaluate, BenchFlash, BenchFleet, BenchHosts,
    BenchTrial, Benchmark,
};
use crate::commands::plan_facts::PlanFacts;
use crate::commands::suite_parts;
pub use crate::dev::bench::FleetResult;
pub use crate::dev::bench::TrialCost;
use crate::dev::bench::{self, Comparison, EditCost, EditPlan, Measurements, Plan, Row};
use crate::ui;

/// The note of a program that cargo's profile `dev` compiled.
const NOT_OPTIMIZED: &str = "this program is compiled without optimization, and what is short takes longer than by the \
    installed one; `cargo run --release --package xtask --features dev -- bench` measures that";

pub fn run(cx: &mut Context, args: &Bench) -> Result<()> {
    if cfg!(debug_assertions) {
        cx.note(NOT_OPTIMIZED);
    }
    match &args.benchmark {
        Benchmark::Flash(args) => bench_flash(cx, args),
        Benchmark::Assemble(args) => bench_assemble(cx, args),
        Benchmark::Deploy(args) => bench_deploy(cx, args),
        Benchmark::Edit(args) => bench_edit(cx, args),
        Benchmark::Hosts(args) => bench_hosts(cx, args),
        Benchmark::Evaluate(args) => bench_evaluate(cx, args),
        Benchmark::Trial(args) => bench_trial(cx, args),
        Benchmark::Fleet(args) => bench_fleet(cx, args),
        Benchmark::Cards(args) => show_rows(cx, args.rounds, bench::cards(cx, args.cards, args.rounds)?),
    }
}

fn bench_flash(cx: &Context, args: &BenchFlash) -> Result<()> {
    let mode = args.mode.map(|mode| mode.to_string());
    let plan = Plan { cases: bench::select(&args.only), rounds: args.rounds, mode };
    bench::require(cx, &plan.cases)?;
    let cases = plan.cases.iter().map(|case| case.name).collect();
    cx.show_plan(&plan, &PlanFacts::Bench { rounds: plan.rounds.get(), cases });
    let cases = plan.run(cx)?;
    show_cases(cx, &plan, cases)
}

/// The JSON result of `bench flash`.
#[derive(Serialize, JsonSchema)]
pub struct FlashCasesResult {
    rounds: NonZero<u32>,
    /// The peers that this machine does not have.
    not_run: BTreeSet<String>,
    rows: Vec<Row>,
    cases: Vec<Measurements>,
}

impl JsonResult for FlashCasesResult {}

/// The JSON result of `bench assemble`.
#[derive(Serialize, JsonSchema)]
pub struct AssembleResult {
    rounds: NonZero<u32>,
    /// The time under emulation divided by that of native programs.
    ratio: f64,
    measured: Comparison,
}

impl JsonResult for AssembleResult {}

/// The JSON result of `bench edit`.
#[derive(Serialize, JsonSchema)]
pub struct EditResult {
    rounds: NonZero<u32>,
    /// The size of the synthetic closure, in MiB; `None` for real store paths.
    closure_mib: Option<NonZero<u32>>,
    /// The ways from the change to the card; the first is the one with which the others are compared.
    ways: Vec<EditCost>,
}

impl JsonResult for EditResult {}

/// The JSON result of the benchmarks that are a table.
#[derive(Serialize, JsonSchema)]
pub struct RowsResult {
    rounds: NonZero<u32>,
    rows: Vec<Row>,
}

impl JsonResult for RowsResult {}

impl JsonResult for TrialCost {}

fn show_cases(cx: &Context, plan: &Plan, cases: Vec<Measurements>) -> Result<()> {
    let rows = cases.iter().flat_map(bench::rows).collect::<Vec<_>>();
    if cx.json {
        let not_run = plan.absent_peers(cx);
        return ui::print_json(&FlashCasesResult { rounds: plan.rounds, not_run, rows, cases });
    }
    ui::print_table(&bench::table(&rows))
}

fn bench_assemble(cx: &Context, args: &BenchAssemble) -> Result<()> {
    let comparison = bench::compare(cx, args.rounds)?;
    if cx.json {
        let ratio = comparison.ratio();
        return ui::print_json(&AssembleResult { rounds: args.rounds, ratio, measured: comparison });
    }
    ui::print_table(&comparison.table())?;
    ui::print_result(&comparison.image_summary())
}

fn bench_deploy(cx: &Context, args: &BenchDeploy) -> Result<()> {
    show_rows(cx, args.rounds, bench::deploys(cx, args.rounds)?)
}

fn bench_edit(cx: &Context, args: &BenchEdit) -> Result<()> {
    let BenchEdit { size, paths, rounds, assembler, tool } = args.clone();
    let mib = size.get().try_into()?;
    let closure_mib = paths.is_none().then_some(size);
    let ways = EditPlan { mib, paths, rounds, assembler, tool }.run(cx)?;
    if cx.json {
        return ui::print_json(&EditResult { rounds, closure_mib, ways });
    }
    ui::print_table(&bench::edit_table(&ways))
}

fn bench_hosts(cx: &Context, args: &BenchHosts) -> Result<()> {
    show_rows(cx, args.rounds, bench::listings(cx, args.rounds)?)
}

fn bench_evaluate(cx: &Context, args: &BenchEvaluate) -> Result<()> {
    show_rows(cx, args.rounds, bench::evaluations(cx, args.hosts, args.rounds, &args.nix_args)?)
}

impl JsonResult for FleetResult {}

fn bench_fleet(cx: &Context, args: &BenchFleet) -> Result<()> {
    let fleet = bench::fleet(cx, args.hosts, args.payload)?;
    for host in &fleet.unexpected {
        cx.warn(format!("not what the bench made it for, but true: {host}"));
    }
    if cx.json {
        return ui::print_json(&fleet);
    }
    ui::print_table(&bench::table(&fleet.rows))?;
    ui::print_result(&fleet.summary())
}

fn bench_trial(cx: &mut Context, args: &BenchTrial) -> Result<()> {
    suite_parts::prepare_guests(cx)?;
    let cost = bench::trial_cost(cx, args.rounds)?;
    if cx.json { ui::print_json(&cost) } else { ui::print_result(&cost.summary()) }
}

fn show_rows(cx: &Context, rounds: NonZero<u32>, rows: Vec<Row>) -> Result<()> {
    if cx.json {
        return ui::print_json(&RowsResult { rounds, rows });
    }
    ui::print_table(&bench::table(&rows))
}
