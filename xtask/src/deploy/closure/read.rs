//! Closures: that of a path of this machine, and that of what the host runs.

use anyhow::{Context as _, Result};

use crate::base::process::Launcher;
use crate::base::shell;
use crate::deploy::host::{Answer, LIST, Question, Remote};
use crate::nix::{self, StorePath};

/// All store paths that something needs, with their sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure(pub Vec<(StorePath, u64)>);

impl Closure {
    /// The closure of `path`, which is in the store of this machine.
    pub fn here(launcher: &Launcher, path: &StorePath) -> Result<Self> {
        nix::closure(launcher, path).map(Self)
    }

    /// The closure of `path` on the host.
    pub fn on_host(remote: &Remote, path: &str) -> Result<Self> {
        let mut question = Question::new()?;
        Self::ask(&mut question, "false", path);
        let answer = remote.ask(&question, LIST)?;
        Self::parse(&answer).with_context(|| format!("reading what {path} needs on the host"))
    }

    /// Adds the parts about the closure of `path`, which are not answered where the command `spared` succeeds. `nix-store`
    /// answers, which every Nix has and which needs no setting.
    pub fn ask(question: &mut Question, spared: &str, path: &str) {
        let query = format!("nix-store --query --requisites {}", shell::quote(path));
        question.ask("requisites", &format!("{spared} || {query}"));
        question.ask("sizes", &format!("{spared} || {query} | xargs nix-store --query --size"));
    }

    /// Reads the answer, which may be part of a longer one; `None` where there is none, or not all of it.
    pub fn parse(answer: &Answer) -> Option<Self> {
        let paths = answer.lines("requisites").map(StorePath::containing).collect::<Option<Vec<_>>>()?;
        let sizes = answer.lines("sizes").map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
        let all = !paths.is_empty() && paths.len() == sizes.len();
        all.then(|| Self(paths.into_iter().zip(sizes).collect()))
    }

    /// Whether `path` is in it.
    pub fn has(&self, path: &StorePath) -> bool {
        self.0.iter().any(|(known, _)| known == path)
    }

    /// In bytes.
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
    fn fuzz_the_answer_of_a_host() {
        let (a, b) = (store("a-1"), store("b-2"));
        let closure = Closure(vec![(a.clone(), 12), (b.clone(), 30)]);
        assert_eq!(closure.size(), 42);
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
        crate::base::fuzz::check_text(&[&both, "12\n30\n"], |text| parse(text, text));
        crate::base::fuzz::check_text(&["12\n30\n"], |text| {
            parse(&both, text).map(|closure| super::super::Diff::new(&closure, &Closure::default()).summary())
        });
    }

    #[test]
    fn sizes_beyond_all_bounds_do_not_overflow() {
        let (a, b) = (store("a-1"), store("b-2"));
        let closure = parse(&format!("{a}\n{b}\n"), &format!("{0}\n{0}\n", u64::MAX)).unwrap();
        assert_eq!(closure.size(), u64::MAX);
        assert_eq!(super::super::diff::Diff::new(&closure, &Closure::default()).grown(), -i64::MAX);
    }
}
