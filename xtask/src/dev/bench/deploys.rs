//! `bench deploy`: `deploy` against deploy-rs alone, and several hosts against one.

use std::num::NonZero;

use anyhow::Result;

use super::hosts::Hosts;
use super::preflight::require_hosts;
use super::samples::median;
use super::stats::Row;
use super::workdir::{TemporaryFolder, Workdir};
use crate::base::{Context, interrupt};

/// The number of hosts of a deploy to several hosts.
const SEVERAL_HOSTS: usize = 4;

/// The amount of evaluation in the flake, in rounds of its function `work`. The flake takes about as long as the host
/// `stinky`: 4.2 s of CPU time where `stinky` takes 4.4 s.
const EVALUATION: u32 = 7000;

/// A case: a deploy by the tool, and the deploy that it is compared with.
#[derive(Debug, PartialEq)]
struct Case {
    name: &'static str,
    /// The name of the deploy that the tool's is compared with.
    against: &'static str,
    /// The limit of the time of the tool, as a multiple of the other time; `None` where the case is only for
    /// information.
    at_most: Option<f64>,
}

/// The host gets another system.
const CHANGED: Case = Case { name: "changed", against: "deploy-rs", at_most: Some(1.05) };
/// The host is current, and the flake has not changed.
const UNCHANGED: Case = Case { name: "unchanged", against: "deploy-rs", at_most: Some(0.3) };
/// The host is current, and something else in the flake has changed.
const EDITED: Case = Case { name: "edited", against: "deploy-rs", at_most: None };
/// The host gets another system, with almost no evaluation: the difference is the cost of the verification.
const BARE: Case = Case { name: "no evaluation", against: "deploy-rs", at_most: None };
/// [`SEVERAL_HOSTS`] hosts get other systems, against one host by the tool. The flake has almost no evaluation: more
/// would need a core for each host.
const HOSTS: Case = Case { name: "four hosts", against: "one host", at_most: Some(1.3) };

const CASES: &[&Case] = &[&CHANGED, &UNCHANGED, &EDITED, &BARE, &HOSTS];

/// The times of a case in one round, in seconds.
struct Sample {
    case: &'static Case,
    tool: f64,
    /// The time of the other deploy.
    peer: f64,
}

/// Deploys in each of the `rounds` by the tool and by deploy-rs alone.
///
/// # Errors
/// `Refused` for a missing requirement, `Other` for a failed deploy, an error for a host that does not run the
/// deployed system, and Ctrl-C.
pub fn deploys(cx: &Context, rounds: NonZero<u32>) -> Result<Vec<Row>> {
    require_hosts(cx, "deploys")?;
    let signals = interrupt::guard()?;
    let workdir = Workdir::take(cx)?;
    let folder = TemporaryFolder::new(workdir.join("hosts"))?;
    let hosts = cx.in_phase("start hosts", || Hosts::start(&cx.launcher, folder.path(), SEVERAL_HOSTS))?;
    let mut samples = Vec::new();
    for round in 1..=rounds.get() {
        signals.check()?;
        for sample in measure_round(&hosts, round)? {
            let Sample { case, tool, peer } = &sample;
            cx.note(format!("{} {round}/{rounds}: {tool:.2} s, {} {peer:.2} s", case.name, case.against));
            samples.push(sample);
        }
    }
    Ok(CASES.iter().map(|case| row(case, &samples)).collect())
}

/// Measures all cases in one round. Each deploy gets a new system, except those of the cases whose host is current.
fn measure_round(hosts: &Hosts, round: u32) -> Result<Vec<Sample>> {
    let system = |name: &str| format!("{name}{round}");
    let changed = switch_by_tool(hosts, 1, &system("tool"), EVALUATION)?;
    let current = system("current");
    hosts.set_system(1, &current, EVALUATION)?;
    let changed_by_deploy_rs = hosts.deploy_by_deploy_rs(&current)?;
    let unchanged_by_deploy_rs = hosts.deploy_by_deploy_rs(&current)?;
    // The evaluation cache of the tool does not have this flake the first time, and has it the second time.
    let edited = hosts.deploy_by_tool(1, &current)?;
    let unchanged = hosts.deploy_by_tool(1, &current)?;
    let one_host = switch_by_tool(hosts, 1, &system("one"), 0)?;
    let bare = system("bare");
    hosts.set_system(1, &bare, 0)?;
    let bare_by_deploy_rs = hosts.deploy_by_deploy_rs(&bare)?;
    let several_hosts = switch_by_tool(hosts, SEVERAL_HOSTS, &system("all"), 0)?;
    Ok(vec![
        Sample { case: &CHANGED, tool: changed, peer: changed_by_deploy_rs },
        Sample { case: &UNCHANGED, tool: unchanged, peer: unchanged_by_deploy_rs },
        Sample { case: &EDITED, tool: edited, peer: unchanged_by_deploy_rs },
        Sample { case: &BARE, tool: one_host, peer: bare_by_deploy_rs },
        Sample { case: &HOSTS, tool: several_hosts, peer: one_host },
    ])
}

/// Makes `system` the desired system of the first `count` hosts, and deploys it by the tool. Returns the time of the
/// deploy in seconds.
fn switch_by_tool(hosts: &Hosts, count: usize, system: &str, evaluation: u32) -> Result<f64> {
    hosts.set_system(count, system, evaluation)?;
    hosts.deploy_by_tool(count, system)
}

/// The row of a case, with the medians of its times.
fn row(case: &'static Case, samples: &[Sample]) -> Row {
    let median_of = |time: fn(&Sample) -> f64| {
        let samples_of_case = samples.iter().filter(|sample| sample.case == case);
        median(samples_of_case.map(time).collect())
    };
    let tool = median_of(|sample| sample.tool);
    let peer = median_of(|sample| sample.peer);
    Row::of_times(case.name, case.against, tool, peer, case.at_most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bench::stats::table;

    #[test]
    fn each_case_has_a_row_with_its_medians() {
        let sample = |case, tool, peer| Sample { case, tool, peer };
        let samples = [
            sample(&CHANGED, 9.0, 8.0),
            sample(&UNCHANGED, 3.0, 9.0),
            sample(&CHANGED, 8.0, 7.0),
            sample(&CHANGED, 10.0, 9.0),
        ];
        let expected = "\
CASE           MEASURED  AGAINST    TOOL    PEER    RATIO  AT MOST  KEPT
changed        time      deploy-rs  9.00 s  8.00 s  1.12   1.05     no
unchanged      time      deploy-rs  3.00 s  9.00 s  0.33   0.30     no
edited         time      deploy-rs  -       -       -      -        -
no evaluation  time      deploy-rs  -       -       -      -        -
four hosts     time      one host   -       -       -      1.30     -";
        assert_eq!(
            table(&CASES.iter().map(|case| row(case, &samples)).collect::<Vec<_>>()).to_string(),
            expected
        );
    }
}
