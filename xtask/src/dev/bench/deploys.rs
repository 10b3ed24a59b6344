//! `deploy` against deploy-rs alone, and several hosts against one.

use std::num::NonZero;

use anyhow::Result;

use super::hosts::Hosts;
use super::samples::median;
use super::stats::{Quantity, Row};
use super::workdir::{Scratch, Workdir};
use crate::base::failure::ExitKind;
use crate::base::{Context, interrupt};
use crate::dev::suites::Requirement;

/// How many hosts are deployed to at once.
const SEVERAL: usize = 4;

/// How much there is to evaluate in the flake: as long as `stinky` takes, which is 4.4 s of a processor's time where
/// this takes 4.2.
const EVALUATION: u32 = 7000;

const NEEDS: [Requirement; 5] = [
    Requirement::Root,
    Requirement::Nix,
    Requirement::DeployRs,
    Requirement::VisibleTools,
    Requirement::NetworkNamespaces,
];

/// Two things that are compared.
#[derive(Debug, PartialEq)]
struct Case {
    name: &'static str,
    against: &'static str,
    /// How many times as long as the other the first may take.
    at_most: Option<f64>,
}

/// The host gets another system.
const CHANGED: Case = Case { name: "changed", against: "deploy-rs", at_most: Some(1.15) };
/// It runs what it is meant to run, and nothing was edited since.
const UNCHANGED: Case = Case { name: "unchanged", against: "deploy-rs", at_most: Some(0.3) };
/// It runs what it is meant to run; something else in the flake was edited.
const EDITED: Case = Case { name: "edited", against: "deploy-rs", at_most: None };
/// The host gets another system, and next to nothing is evaluated: what is left is what the proof costs.
const BARE: Case = Case { name: "no evaluation", against: "deploy-rs", at_most: None };
/// [`SEVERAL`] hosts get other systems. Little is evaluated here: that takes as many cores as hosts.
const HOSTS: Case = Case { name: "four hosts", against: "one host", at_most: Some(1.5) };

const CASES: [&Case; 5] = [&CHANGED, &UNCHANGED, &EDITED, &BARE, &HOSTS];

/// How long the two of a case took in one round, in seconds.
struct Run {
    case: &'static Case,
    times: [f64; 2],
}

/// Deploys in each of the `rounds` with the tool and with deploy-rs alone.
///
/// # Errors
/// Refused where something is missing. Where a deploy failed, or a host did not run what it should; and a request to stop.
pub fn deploys(cx: &Context, rounds: NonZero<u32>) -> Result<Vec<Row>> {
    let missing = NEEDS.iter().filter_map(|need| need.missing(cx)).collect::<Vec<_>>();
    if !missing.is_empty() {
        let text =
            format!("measuring deploys {}; `cargo xtask test deploy` installs programs", missing.join("; "));
        return Err(ExitKind::Refused.error(text));
    }
    let hold = interrupt::guard()?;
    let place = Workdir::take(cx)?;
    let scratch = Scratch::new(place.join("hosts"))?;
    let crew = cx.in_phase("start hosts", || Hosts::start(&cx.launcher, scratch.path(), SEVERAL))?;
    let mut runs = Vec::new();
    for round in 1..=rounds.get() {
        hold.check()?;
        for run in one_round(&crew, round)? {
            let Run { case, times: [first, second] } = &run;
            cx.note(format!("{} {round}/{rounds}: {first:.2} s, {} {second:.2} s", case.name, case.against));
            runs.push(run);
        }
    }
    Ok(CASES.iter().map(|case| row(case, &runs)).collect())
}

fn one_round(crew: &Hosts, round: u32) -> Result<Vec<Run>> {
    let [tools, bare] = ["tool", "bare"].map(|name| format!("{name}{round}"));
    crew.means(1, &tools, EVALUATION)?;
    let changed = crew.tool(1, &tools)?;
    crew.means(1, &bare, EVALUATION)?;
    let changed = [changed, crew.deploy_rs(&bare)?];
    let again = crew.deploy_rs(&bare)?;
    // The tool meets this flake for the first time, and then for the second.
    let edited = [crew.tool(1, &bare)?, again];
    let unchanged = [crew.tool(1, &bare)?, again];
    let [one, alone, all] = ["one", "alone", "all"].map(|name| format!("{name}{round}"));
    crew.means(1, &one, 0)?;
    let one = crew.tool(1, &one)?;
    crew.means(1, &alone, 0)?;
    let bare = [one, crew.deploy_rs(&alone)?];
    crew.means(SEVERAL, &all, 0)?;
    let hosts = [crew.tool(SEVERAL, &all)?, one];
    let times = [changed, unchanged, edited, bare, hosts];
    Ok(CASES.into_iter().zip(times).map(|(case, times)| Run { case, times }).collect())
}

/// The medians of a case.
fn row(case: &'static Case, runs: &[Run]) -> Row {
    let of = |place: usize| {
        let own = runs.iter().filter(|run| run.case == case);
        median(own.map(|run| run.times[place]).collect())
    };
    let (tool, peer) = (of(0), of(1));
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
        assert_eq!(table(&CASES.map(|case| row(case, &runs))).to_string(), expected);
    }
}
