//! Closures: that of a path of this machine, and that of what the host runs.

use anyhow::{Context as _, Result};

use crate::deploy::host::{Remote, quoted};
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

    /// The closure of `path` on the host. `nix-store` is asked, which every Nix has and which needs no setting.
    pub fn on_host(remote: &Remote, path: &str) -> Result<Self> {
        let query = format!("nix-store --query --requisites {}", quoted(path));
        let answer =
            remote.run(&format!("{query}; echo @sizes; {query} | xargs nix-store --query --size"))?;
        Self::parse(&answer).with_context(|| format!("reading what {path} needs on the host"))
    }

    fn parse(answer: &str) -> Option<Self> {
        let (paths, sizes) = answer.split_once("@sizes")?;
        let paths = paths.split_whitespace().map(StorePath::containing).collect::<Option<Vec<_>>>()?;
        let sizes = sizes.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
        (paths.len() == sizes.len()).then(|| Self(paths.into_iter().zip(sizes).collect()))
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.0.iter().map(|(_, size)| size).sum()
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
            (format!("{a}\n{b}\n@sizes\n12\n30\n"), Some(closure)),
            ("@sizes\n".to_owned(), Some(Closure::default())),
            (format!("{a}\n{b}\n@sizes\n12\n"), None),
            (format!("{a}\n"), None),
        ] {
            assert_eq!(Closure::parse(&answer), expected, "{answer}");
        }
    }
}
