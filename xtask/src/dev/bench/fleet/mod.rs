//! `bench fleet`: `status` and `deploy --all` of many hosts, some of which are dead, fail or roll back.

mod absent;
mod hosts;
mod kept;
mod payload;
mod role;
mod verdicts;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use schemars::JsonSchema;
use serde::Serialize;

use super::preflight::require_hosts;
use super::stats::{Quantity, Row};
use super::workdir::{TemporaryFolder, Workdir};
use crate::base::process::Launcher;
use crate::base::{Context, interrupt};

use hosts::{Fleet, Run};
pub use payload::Payload;
use role::Role;
use verdicts::{Actual, Verdicts};

/// The options with which `status` keeps connections, for longer than it takes to ask all hosts twice.
const KEEP: &[&str] = &["--keep-connections=600"];

/// What `bench fleet` has measured.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FleetResult {
    /// How many hosts the flake has.
    pub hosts: u32,
    /// How many hosts have each verdict of the deploy to all; `unreachable` is that of a dead one. Each verdict was
    /// compared with what the host runs.
    pub verdicts: BTreeMap<String, u32>,
    /// The hosts with a true verdict that is not the one that they were made for: `HOST: VERDICT`.
    pub unexpected: Vec<String>,
    pub rows: Vec<Row>,
}

impl FleetResult {
    /// The verdicts in one line.
    pub fn summary(&self) -> String {
        let counts =
            self.verdicts.iter().map(|(verdict, count)| format!("{count} {}", verdict.replace('_', " ")));
        let counts = counts.collect::<Vec<_>>().join(", ");
        format!("all verdicts are true, {0} of {0}: {counts}", self.hosts)
    }
}

/// Measures `status` and `deploy --all` of `count` hosts. The path that changes has the `payload`.
///
/// # Errors
/// `Refused` for a missing requirement, `Verification` for a host that does not run what the tool says, and Ctrl-C.
pub fn fleet(cx: &Context, count: u32, payload: Payload) -> Result<FleetResult> {
    require_hosts(cx, "a fleet")?;
    let _signals = interrupt::guard()?;
    let workdir = Workdir::take(cx)?;
    let folder = TemporaryFolder::new(workdir.join("fleet"))?;
    let program = std::env::current_exe().context("finding the tool itself")?;
    measure_fleet(&cx.launcher, &program, folder.path(), count, payload, &|text| cx.note(text))
}

/// Measures a fleet of `count` hosts by the tool `program`, in the empty folder `dir`, where the path that changes has
/// the `payload`. `note` gets what is found out meanwhile.
///
/// # Errors
/// As [`fleet`], without the requirements.
pub fn measure_fleet(
    launcher: &Launcher,
    program: &Path,
    dir: &Path,
    count: u32,
    payload: Payload,
    note: &dyn Fn(String),
) -> Result<FleetResult> {
    let signals = interrupt::guard()?;
    let started = std::time::Instant::now();
    let fleet = Fleet::start(launcher, program, dir, count as usize, payload);
    // A child that was stopped is no fault.
    signals.check()?;
    let fleet = fleet?;
    note(format!("{count} hosts run after {:.1} s", started.elapsed().as_secs_f64()));
    let bench = Bench { fleet, note };
    let mut rows = bench.measure_status()?;
    signals.check()?;
    rows.extend(bench.measure_dead_hosts()?);
    signals.check()?;
    let (verdicts, of_deploy) = bench.measure_deploy()?;
    rows.extend(of_deploy);
    let Verdicts { counts, unexpected } = verdicts;
    Ok(FleetResult { hosts: count, verdicts: counts, unexpected, rows })
}

/// The measuring of one fleet.
struct Bench<'a> {
    fleet: Fleet,
    note: &'a dyn Fn(String),
}

impl Bench<'_> {
    /// Runs the tool with `args`, and notes what that cost.
    fn run(&self, args: &[&str]) -> Result<Run> {
        let run = self.fleet.run(args)?;
        let cost = &run.cost;
        let (seconds, cpu, memory) = (cost.seconds, cost.cpu_seconds, crate::base::Bytes(cost.peak_bytes));
        (self.note)(format!("{}: {seconds:.1} s, CPU {cpu:.1} s, memory {memory}", args.join(" ")));
        Ok(run)
    }

    fn measure_status(&self) -> Result<Vec<Row>> {
        let first = self.status(&[])?;
        let again = self.status(KEEP)?;
        let kept = self.status(KEEP)?;
        let of_runs = [&first, &again, &kept].map(|run| run.cost.peak_bytes).into_iter().max();
        let memory = of_runs.unwrap_or_default() + self.fleet.kept.memory();
        self.fleet.kept.end();
        let row = |case, run: &Run, limit| Row::of_limit(case, Quantity::Time, run.cost.seconds, limit);
        Ok(vec![
            row("status, first", &first, 30.0),
            row("status again, which keeps connections", &again, 30.0),
            row("status again, connections kept", &kept, 10.0),
            Row::of_memory("status, with what is kept", Some(as_float(memory)), 500 << 20),
        ])
    }

    /// Runs `status` with `options`, and checks what it says of each host.
    fn status(&self, options: &[&str]) -> Result<Run> {
        let run = self.run(&[&["status"], options].concat())?;
        let running = self.fleet.running()?;
        verdicts::check_status(&run.result, &self.actual(&running, &running))?;
        Ok(run)
    }

    /// Asks one host of each kind of dead ones.
    fn measure_dead_hosts(&self) -> Result<Vec<Row>> {
        let dead = self.fleet.members.iter().filter(|member| member.role == Role::Dead);
        let cases = ["dead host, silent", "dead host, not found"];
        let measured = dead.zip(cases).map(|(member, case)| {
            let run = self.run(&["status", &member.name])?;
            Ok(Row::of_limit(case, Quantity::Time, run.cost.seconds, 5.0))
        });
        measured.collect()
    }

    /// Deploys to one host, and then to all, a new path for each.
    fn measure_deploy(&self) -> Result<(Verdicts, Vec<Row>)> {
        let good = self.fleet.members.iter().find(|member| member.role == Role::Good);
        let good = good.context("finding a good host")?.name.as_str();
        let one = self.deploy("one", &[good])?;
        let all = self.deploy("all", &["--all"])?;
        let running = self.fleet.running()?;
        let hosts = self.actual(&all.before, &running);
        let verdicts = verdicts::of_deploy(&all.run.result, &hosts)?;
        let [time, peer] = [&all, &one].map(|deploy| Some(deploy.run.cost.seconds));
        let closure = f64::from(payload::MEBIBYTES << 20);
        let rows = vec![
            Row::of_times("deploy --all", "one host", time, peer, Some(40.0)),
            Row::of_bytes("deploy --all", "one closure", all.sent, closure, 1.1),
            Row::of_bytes("deploy of one host", "one closure", one.sent, closure, 1.1),
            Row::of_memory("deploy --all", Some(as_float(all.run.cost.peak_bytes)), 500 << 20),
        ];
        Ok((verdicts, rows))
    }

    /// Deploys a new system called `name` to `hosts` by way of the cache.
    fn deploy(&self, name: &str, hosts: &[&str]) -> Result<Deploy> {
        self.fleet.set_new_system(name)?;
        let options = self.fleet.cache_options();
        let options = options.iter().map(String::as_str).collect::<Vec<_>>();
        let before = self.fleet.running()?;
        let sent_before = self.fleet.sent_bytes()?;
        let run = self.run(&[&["deploy"], hosts, &options].concat())?;
        let sent = as_float(self.fleet.sent_bytes()? - sent_before);
        Ok(Deploy { run, before, sent })
    }

    /// What the hosts ran `before` and `after` a command.
    fn actual<'a>(&'a self, before: &'a [Option<String>], after: &'a [Option<String>]) -> Vec<Actual<'a>> {
        let systems = before.iter().zip(after);
        let hosts = self.fleet.members.iter().zip(systems);
        hosts
            .map(|(member, (before, after))| Actual {
                name: &member.name,
                role: member.role,
                before: before.as_deref(),
                after: after.as_deref(),
            })
            .collect()
    }
}

/// A measured deploy.
struct Deploy {
    run: Run,
    /// The systems of all hosts before it.
    before: Vec<Option<String>>,
    /// The bytes that this machine sent.
    sent: f64,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn as_float(bytes: u64) -> f64 {
    bytes as f64
}
