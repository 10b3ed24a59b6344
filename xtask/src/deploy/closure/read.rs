//! Closures: that of a path of this machine, and that of what the host runs.

use anyhow::{Context as _, Result};

use crate::deploy::host::{Remote, quoted, section};
use crate::nix::{self, StorePath};
use crate::process::Launcher;

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
        let answer = remote.run(&Self::question("false", path))?;
        Self::parse(&answer).with_context(|| format!("reading what {path} needs on the host"))
    }

    /// The question for the closure of `path`, as commands that any login shell understands. It is not asked where the
    /// command `spared` succeeds. `nix-store` answers, which every Nix has and which needs no setting.
    pub fn question(spared: &str, path: &str) -> String {
        let query = format!("nix-store --query --requisites {}", quoted(path));
        let sizes = format!("{query} | xargs nix-store --query --size");
        format!("echo @requisites; {spared} || {query}; echo @sizes; {spared} || {sizes}; ")
    }

    /// Reads the answer, which may be part of a longer one; `None` where there is none, or not all of it.
    pub fn parse(answer: &str) -> Option<Self> {
        let paths = section(answer, "requisites").map(StorePath::containing).collect::<Option<Vec<_>>>()?;
        let sizes = section(answer, "sizes").map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
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

    #[test]
    fn the_answer_of_a_host() {
        let (a, b) = (store("a-1"), store("b-2"));
        let closure = Closure(vec![(a.clone(), 12), (b.clone(), 30)]);
        assert_eq!(closure.size(), 42);
        for (answer, expected) in [
            (format!("@requisites\n{a}\n{b}\n@sizes\n12\n30\n@current\n{b}\n@end\n"), Some(closure)),
            ("@requisites\n@sizes\n".to_owned(), None),
            (format!("@requisites\n{a}\n{b}\n@sizes\n12\n"), None),
            (format!("@requisites\n{a}\n"), None),
        ] {
            assert_eq!(Closure::parse(&answer), expected, "{answer}");
        }
    }

    #[test]
    fn sizes_beyond_all_bounds_do_not_overflow() {
        let (a, b) = (store("a-1"), store("b-2"));
        let answer = format!("@requisites\n{a}\n{b}\n@sizes\n{}\n{}\n@end\n", u64::MAX, u64::MAX);
        let closure = Closure::parse(&answer).unwrap();
        assert_eq!(closure.size(), u64::MAX);
        assert_eq!(super::super::diff::Diff::new(&closure, &Closure::default()).grown(), -i64::MAX);
    }
}
