//! Sorts suites by what this machine lacks for them.

use std::collections::BTreeMap;

use super::{Requirement, Suite};
use crate::base::Context;

/// Suites, sorted by whether this machine can run them whole.
#[derive(Debug, Default)]
pub struct SortedSuites {
    pub whole: Vec<&'static Suite>,
    /// Suites of which only the tests without requirements run, each with what is missing for the others.
    pub partly: Vec<(&'static Suite, String)>,
}

/// Checks each requirement of `suites` once, and sorts the suites.
pub fn sort(cx: &Context, suites: Vec<&'static Suite>) -> SortedSuites {
    let requirements = suites.iter().flat_map(|suite| suite.requirements.iter().copied());
    let missing =
        requirements.map(|requirement| (requirement, requirement.missing(cx))).collect::<BTreeMap<_, _>>();
    let mut sorted = SortedSuites::default();
    for suite in suites {
        // Where `setup` cannot install all that a suite lacks, it installs nothing. Then only the requirements that it
        // cannot install are the reasons.
        let (installable, other): (Vec<Requirement>, Vec<_>) =
            suite.requirements.iter().partition(|requirement| requirement.is_installable());
        let reasons_of = |list: &[Requirement]| {
            list.iter().filter_map(|requirement| missing[requirement].clone()).collect::<Vec<_>>()
        };
        let mut reasons = reasons_of(&other);
        if reasons.is_empty() {
            reasons = reasons_of(&installable);
        }
        if reasons.is_empty() {
            sorted.whole.push(suite);
        } else {
            sorted.partly.push((suite, reasons.join("; ")));
        }
    }
    sorted
}
