//! The report of a test run: how much of each suite ran, and the reason where not all of it ran.

use schemars::JsonSchema;
use serde::Serialize;

use super::run::AS_ROOT;
use super::{Extent, Requirement, SortedSuites, Suite};
use crate::base::Table;
use crate::base::process::Launcher;

/// The report of one suite, which is also the JSON of `test`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SuiteReport")]
pub struct Report {
    pub suite: &'static str,
    pub run: Coverage,
    /// The missing requirements of the tests that did not run, with their remedies; `None` where all ran.
    pub why: Option<String>,
}

/// How much of a suite ran.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    Whole,
    /// Only the tests without requirements.
    Partly {
        run: usize,
        /// The number of all tests of the suite.
        of: usize,
    },
    None,
}

impl Report {
    /// The report of a `suite` whose requirements are met: this user runs the `extent` of it.
    fn of_whole(launcher: &Launcher, suite: &Suite, extent: Extent) -> Self {
        let all = || list_tests(launcher, suite, &[]);
        let (run, why) = match extent {
            Extent::WithoutRoot => without_root(&all()),
            Extent::Whole | Extent::WithoutRequirements => (Coverage::Whole, None),
        };
        Self { suite: suite.name, run, why }
    }
}

/// The reports of all suites, in the order of their names. This user runs the `extent` of those that are whole.
pub fn report(launcher: &Launcher, sorted: &SortedSuites, extent: Extent) -> Vec<Report> {
    let whole = sorted.whole.iter().map(|suite| Report::of_whole(launcher, suite, extent));
    let partly = sorted.partly.iter().map(|(suite, why)| Report {
        suite: suite.name,
        run: coverage(launcher, suite),
        why: Some(why.clone()),
    });
    let mut reports = whole.chain(partly).collect::<Vec<_>>();
    reports.sort_by_key(|report| report.suite);
    reports
}

/// How many of the tests `names` need no root, and why the others did not run.
fn without_root(names: &[String]) -> (Coverage, Option<String>) {
    let left_out = names.iter().filter(|name| name.contains(AS_ROOT)).count();
    if left_out == 0 {
        return (Coverage::Whole, None);
    }
    let (noun, verb) = if left_out == 1 { ("test", "needs") } else { ("tests", "need") };
    let why = format!("{left_out} {noun} {verb} root{}", Requirement::Root.remedy());
    (Coverage::Partly { run: names.len() - left_out, of: names.len() }, Some(why))
}

/// The table of all reports.
pub fn table(reports: &[Report]) -> Table {
    let mut table = Table::new(&["SUITE", "RUN", "WHY NOT ALL OF IT"]).with_folded("WHY NOT ALL OF IT");
    for Report { suite, run, why } in reports {
        let run = match run {
            Coverage::Whole => "yes".to_owned(),
            Coverage::Partly { run, of } => format!("{run} of {of} tests"),
            Coverage::None => "NO".to_owned(),
        };
        table.row([*suite, &run, why.as_deref().unwrap_or("-")]);
    }
    table
}

/// How much of `suite` ran where requirements are missing: the tests that are not marked `#[ignore]`.
fn coverage(launcher: &Launcher, suite: &Suite) -> Coverage {
    let of = list_tests(launcher, suite, &[]).len();
    let ignored = list_tests(launcher, suite, &["--ignored"]).len();
    match of.saturating_sub(ignored) {
        0 => Coverage::None,
        run => Coverage::Partly { run, of },
    }
}

/// The names of the tests of `suite` that `options` of the test program select; none where cargo fails.
fn list_tests(launcher: &Launcher, suite: &Suite, options: &[&str]) -> Vec<String> {
    let args =
        [&["test", "--workspace"], suite.target, &["--", "--list", "--format", "terse"], options].concat();
    // If cargo fails here, the run before has failed with the same error.
    launcher.capture("cargo", &args).map(|output| test_names(&output.stdout)).unwrap_or_default()
}

/// The names of the tests in a terse list of cargo.
pub fn test_names(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_need_root_are_counted() {
        let count = |names: &[&str]| without_root(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(count(&["a::b", "a::as_rooted"]), (Coverage::Whole, None));
        let why = |text: &str| Some(format!("{text} root: run this command as root"));
        assert_eq!(count(&["a::as_root::b", "c"]), (Coverage::Partly { run: 1, of: 2 }, why("1 test needs")));
        let (coverage, reason) = count(&["a::as_root::b", "as_root::c", "d", "e"]);
        assert_eq!((coverage, reason), (Coverage::Partly { run: 2, of: 4 }, why("2 tests need")));
    }

    #[test]
    fn the_table_shows_how_much_of_each_suite_ran() {
        let why = || Some("needs root: run this command as root".to_owned());
        let reports = [
            Report { suite: "cli", run: Coverage::Whole, why: None },
            Report { suite: "device", run: Coverage::Partly { run: 3, of: 70 }, why: why() },
            Report { suite: "nix", run: Coverage::None, why: why() },
        ];
        let text = "\
SUITE   RUN            WHY NOT ALL OF IT
cli     yes            -
device  3 of 70 tests  needs root: run this command as root
nix     NO             needs root: run this command as root";
        assert_eq!(table(&reports).to_string(), text);
    }
}
