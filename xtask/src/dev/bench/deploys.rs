//! `bench deploy`: `deploy` against deploy-rs alone, and several hosts against one.

use std::num::NonZero;

use anyhow::Result;

use super::hosts::Hosts;
use super::samples::median;
use super::stats::{Quantity, Row};
use super::workdir::{TemporaryFolder, Workdir};
use crate::bail;
use crate::base::{Context, interrupt};
use crate::dev::suites::Requirement;

/// The number of hosts that are deployed at once.
const SEVERAL: usize = 4;

/// The amount of evaluation in the flake: it takes as long as `stinky`, 4.2 s of CPU time where `stinky` takes 4.4 s.
const EVALUATION: u32 = 7000;

const REQUIREMENTS: &[Requirement] = &[
    Requirement::Root,
    Requirement::Nix,
    Requirement::DeployRs,
    Requirement::VisibleTools,
    Requirement::NetworkNamespaces,
];

/// A comparison of two deploys.
#[derive(Debug, PartialEq)]
struct Case {
    name: &'static str,
    against: &'static str,
    /// The limit of the ratio of the first time to the second.
    at_most: Option<f64>,
}

/// The host gets another system.
const CHANGED: Case = Case { name: "changed", against: "deploy-rs", at_most: Some(1.15) };
/// The host is current, and the flake has not changed.
const UNCHANGED: Case = Case { name: "unchanged", against: "deploy-rs", at_most: Some(0.3) };
/// The host is current, and something else in the flake has changed.
const EDITED: Case = Case { name: "edited", against: "deploy-rs", at_most: None };
/// The host gets another system, with almost no evaluation: the difference is the cost of the verification.
const BARE: Case = Case { name: "no evaluation", against: "deploy-rs", at_most: None };
/// [`SEVERAL`] hosts get other systems, with almost no evaluation, which would need a core for each host.
const HOSTS: Case = Case { name: "four hosts", against: "one host", at_most: Some(1.5) };

const CASES: &[&Case] = &[&CHANGED, &UNCHANGED, &EDITED, &BARE, &HOSTS];

/// The two times of a case in one round, in seconds.
struct Run {
    case: &'static Case,
    times: [f64; 2],
}

/// Deploys in each of the `rounds` by the tool and by deploy-rs alone.
///
/// # Errors
/// `Refused` for a missing requirement; a failed deploy; a host that does not run the deployed system; and Ctrl-C.
pub fn deploys(cx: &Context, rounds: NonZero<u32>) -> Result<Vec<Row>> {
    let missing = REQUIREMENTS.iter().filter_map(|it| it.missing(cx)).collect::<Vec<_>>();
    if !missing.is_empty() {
        bail!(Refused, "measuring deploys {}", missing.join("; "); hint: "`cargo xtask test deploy` installs programs");
    }
    let signals = interrupt::guard()?;
    let workdir = Workdir::take(cx)?;
    let folder = TemporaryFolder::new(workdir.join("hosts"))?;
    let hosts = cx.in_phase("start hosts", || Hosts::start(&cx.launcher, folder.path(), SEVERAL))?;
    let mut runs = Vec::new();
    for round in 1..=rounds.get() {
        signals.check()?;
        for run in one_round(&hosts, round)? {
            let Run { case, times: [first, second] } = &run;
            cx.note(format!("{} {round}/{rounds}: {first:.2} s, {} {second:.2} s", case.name, case.against));
            runs.push(run);
        }
    }
    Ok(CASES.iter().map(|case| row(case, &runs)).collect())
}

/// The times of all [`CASES`] in one round. Each deploy by the tool or by deploy-rs gets a system of its own, unless
/// its case is about the same one.
fn one_round(hosts: &Hosts, round: u32) -> Result<Vec<Run>> {
    let [first, second] = ["tool", "bare"].map(|name| format!("{name}{round}"));
    hosts.set_system(1, &first, EVALUATION)?;
    let by_tool = hosts.deploy_by_tool(1, &first)?;
    hosts.set_system(1, &second, EVALUATION)?;
    let changed = [by_tool, hosts.deploy_by_deploy_rs(&second)?];
    let again = hosts.deploy_by_deploy_rs(&second)?;
    // The evaluation cache of the tool does not have this flake the first time, and has it the second time.
    let edited = [hosts.deploy_by_tool(1, &second)?, again];
    let unchanged = [hosts.deploy_by_tool(1, &second)?, again];
    let [third, fourth, fifth] = ["one", "alone", "all"].map(|name| format!("{name}{round}"));
    hosts.set_system(1, &third, 0)?;
    let one_host = hosts.deploy_by_tool(1, &third)?;
    hosts.set_system(1, &fourth, 0)?;
    let without_evaluation = [one_host, hosts.deploy_by_deploy_rs(&fourth)?];
    hosts.set_system(SEVERAL, &fifth, 0)?;
    let several = [hosts.deploy_by_tool(SEVERAL, &fifth)?, one_host];
    let times = [changed, unchanged, edited, without_evaluation, several];
    Ok(CASES.iter().copied().zip(times).map(|(case, times)| Run { case, times }).collect())
}

/// The row of a case, with the medians of its times.
fn row(case: &'static Case, runs: &[Run]) -> Row {
    let median_of = |index: usize| {
        let runs_of_case = runs.iter().filter(|run| run.case == case);
        median(runs_of_case.map(|run| run.times[index]).collect())
    };
    let tool = median_of(0);
    let peer = median_of(1);
    let ratio = tool.zip(peer).map(|(tool, peer)| tool / peer);
    let kept = ratio.zip(case.at_most).map(|(ratio, limit)| ratio <= limit);
    let Case { name, against, at_most } = *case;
    Row { case: name, quantity: Quantity::Time, against, tool, peer, ratio, at_most, kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::bench::stats::table;

    #[test]
    fn medians_of_each_case() {
        let run = |case, times| Run { case, times };
        let runs = [
            run(&CHANGED, [9.0, 8.0]),
            run(&UNCHANGED, [3.0, 9.0]),
            run(&CHANGED, [8.0, 7.0]),
            run(&CHANGED, [10.0, 9.0]),
        ];
        let expected = "\
CASE           MEASURED  AGAINST    TOOL    PEER    RATIO  AT MOST  KEPT
changed        time      deploy-rs  9.00 s  8.00 s  1.12   1.15     yes
unchanged      time      deploy-rs  3.00 s  9.00 s  0.33   0.30     no
edited         time      deploy-rs  -       -       -      -        -
no evaluation  time      deploy-rs  -       -       -      -        -
four hosts     time      one host   -       -       -      1.50     -";
        assert_eq!(
            table(&CASES.iter().map(|case| row(case, &runs)).collect::<Vec<_>>()).to_string(),
            expected
        );
    }
}
