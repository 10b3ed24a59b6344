//! What was run of each suite, and why not all of it.

use serde::Serialize;

use super::{Sorted, Suite};
use crate::base::Table;
use crate::base::process::Launcher;

/// One suite, after the run. Also the JSON of `test`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub suite: &'static str,
    pub run: Extent,
    /// What is missing for the rest, and the remedy.
    pub why: Option<String>,
}

/// How much of a suite was run.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    Whole,
    /// The tests that need nothing.
    Partly {
        run: usize,
        of: usize,
    },
    None,
}

/// Counts what was run of each suite, in the order of their names.
pub fn report(launcher: &Launcher, sorted: &Sorted) -> Vec<Report> {
    let whole = sorted.whole.iter().map(|suite| Report { suite: suite.name, run: Extent::Whole, why: None });
    let partly = sorted.partly.iter().map(|(suite, why)| Report {
        suite: suite.name,
        run: without_needs(launcher, suite),
        why: Some(why.clone()),
    });
    let mut reports = whole.chain(partly).collect::<Vec<_>>();
    reports.sort_by_key(|report| report.suite);
    reports
}

pub fn table(reports: &[Report]) -> Table {
    let mut table = Table::new(&["SUITE", "RUN", "WHY NOT ALL OF IT"]);
    for Report { suite, run, why } in reports {
        let run = match run {
            Extent::Whole => "yes".to_owned(),
            Extent::Partly { run, of } => format!("{run} of {of} tests"),
            Extent::None => "NO".to_owned(),
        };
        table.row([*suite, &run, why.as_deref().unwrap_or("-")]);
    }
    table
}

/// How many of the tests of `suite` need nothing: those that cargo is not told to ignore.
fn without_needs(launcher: &Launcher, suite: &Suite) -> Extent {
    let (of, ignored) = (list(launcher, suite, &[]).len(), list(launcher, suite, &["--ignored"]).len());
    match of.saturating_sub(ignored) {
        0 => Extent::None,
        run => Extent::Partly { run, of },
    }
}

fn list(launcher: &Launcher, suite: &Suite, which: &[&str]) -> Vec<String> {
    let args =
        [&["test", "--workspace"], suite.target, &["--", "--list", "--format", "terse"], which].concat();
    // Where cargo fails, the run has failed with the same words before.
    launcher.capture("cargo", &args).map(|output| tests(&output.stdout)).unwrap_or_default()
}

/// The names of the tests in a terse list.
pub fn tests(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_table_of_what_was_run() {
        let why = || Some("needs root: run this command as root".to_owned());
        let reports = [
            Report { suite: "cli", run: Extent::Whole, why: None },
            Report { suite: "device", run: Extent::Partly { run: 3, of: 70 }, why: why() },
            Report { suite: "nix", run: Extent::None, why: why() },
        ];
        let text = "\
SUITE   RUN            WHY NOT ALL OF IT
cli     yes            -
device  3 of 70 tests  needs root: run this command as root
nix     NO             needs root: run this command as root";
        assert_eq!(table(&reports).to_string(), text);
    }
}
