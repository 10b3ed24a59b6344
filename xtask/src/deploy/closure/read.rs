//! Closures of local store paths, and of what the host runs.

use std::collections::HashSet;

use anyhow::{Context as _, Result};

use crate::base::process::Launcher;
use crate::base::shell;
use crate::deploy::host::{Answer, CLOSURE_TIMEOUT, Query, Remote};
use crate::nix::{self, StorePath};

/// The store paths of a closure, with their sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure(pub Vec<(StorePath, u64)>);

impl Closure {
    /// The closure of `path`, which is in the local store.
    pub fn read_local(launcher: &Launcher, path: &StorePath) -> Result<Self> {
        nix::closure(launcher, path).map(Self)
    }

    /// Asks the host for the closure of `path` there.
    pub fn query(remote: &Remote, path: &str) -> Result<Self> {
        let mut query = Query::new("the query of the closure")?;
        Self::add_queries(&mut query, "false", path);
        let answer = remote.query(&query, CLOSURE_TIMEOUT)?;
        Self::parse(&answer).with_context(|| format!("reading the closure of {path} on the host"))
    }

    /// Adds the commands that list the closure of `path`, which are skipped if the command `skip_if` succeeds. They
    /// use `nix-store`, which every Nix has and which needs no setting.
    pub fn add_queries(query: &mut Query, skip_if: &str, path: &str) {
        let requisites = format!("nix-store --query --requisites {}", shell::quote(path));
        query.add("requisites", &format!("{skip_if} || {requisites}"));
        query.add("sizes", &format!("{skip_if} || {requisites} | xargs nix-store --query --size"));
    }

    /// Reads the closure from `answer`, which may have other parts too; `None` if the closure is missing, incomplete or
    /// malformed.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let paths = answer.lines("requisites").map(StorePath::containing).collect::<Option<Vec<_>>>()?;
        let sizes = answer.lines("sizes").map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
        let is_complete = !paths.is_empty() && paths.len() == sizes.len();
        is_complete.then(|| Self(paths.into_iter().zip(sizes).collect()))
    }

    /// Whether `path` is in the closure.
    pub fn contains(&self, path: &StorePath) -> bool {
        self.0.iter().any(|(member, _)| member == path)
    }

    /// The paths that `other` lacks, with their sizes in bytes.
    pub fn missing_in(&self, other: &Self) -> Vec<(StorePath, u64)> {
        let present = other.0.iter().map(|(path, _)| path.as_str()).collect::<HashSet<_>>();
        self.0.iter().filter(|(path, _)| !present.contains(path.as_str())).cloned().collect()
    }

    /// The size of the closure in bytes.
    pub fn size(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, (_, size)| sum.saturating_add(*size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::verdict::tests::store;

    fn parse(paths: &str, sizes: &str) -> Option<Closure> {
        Closure::parse(&Answer::of(&[("requisites", paths), ("sizes", sizes)]))
    }

    #[test]
    fn every_path_needs_a_size() {
        let a = store("a-1");
        let b = store("b-2");
        let closure = Closure(vec![(a.clone(), 12), (b.clone(), 30)]);
        let both = format!("{a}\n{b}\n");
        for (paths, sizes, expected) in [
            (both.as_str(), "12\n30\n", Some(closure)),
            ("", "", None),
            (&both, "12\n", None),
            (&both, "", None),
            (&both, "12\n18446744073709551616\n", None),
        ] {
            assert_eq!(parse(paths, sizes), expected, "{sizes}");
        }
    }

    #[test]
    fn the_size_of_a_closure_is_the_sum_of_its_paths() {
        assert_eq!(Closure(vec![(store("a-1"), 12), (store("b-2"), 30)]).size(), 42);
    }

    #[test]
    fn fuzz_the_answer_of_a_host() {
        let both = format!("{}\n{}\n", store("a-1"), store("b-2"));
        crate::base::fuzz::check_text(&[&both, "12\n30\n"], |text| parse(text, text));
        crate::base::fuzz::check_text(&["12\n30\n"], |text| {
            parse(&both, text).map(|closure| super::super::Diff::new(&closure, &Closure::default()).summary())
        });
    }

    #[test]
    fn huge_sizes_do_not_overflow() {
        let a = store("a-1");
        let b = store("b-2");
        let closure = parse(&format!("{a}\n{b}\n"), &format!("{0}\n{0}\n", u64::MAX)).unwrap();
        assert_eq!(closure.size(), u64::MAX);
        assert_eq!(super::super::diff::Diff::new(&closure, &Closure::default()).growth(), -i64::MAX);
    }
}
