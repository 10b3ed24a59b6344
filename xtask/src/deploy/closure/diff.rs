//! The diff of two closures, by package.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::read::Closure;
use crate::base::Bytes;
use crate::nix::split_version;

/// How many packages are shown to people; JSON has all.
const MAX_SHOWN: usize = 40;
/// How many versions of one package are shown to people.
const MAX_VERSIONS: usize = 8;

/// The packages that differ between two closures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diff {
    pub packages: Vec<Package>,
    /// How many packages have the same versions but other paths.
    pub rebuilt: usize,
    /// The size of the old closure, in bytes.
    pub from_bytes: u64,
    /// The size of the new closure, in bytes.
    pub to_bytes: u64,
}

/// A package whose versions differ. The package was added if `from` is empty, and removed if `to` is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Package {
    pub name: String,
    /// The versions in the old closure; an empty string for a path without a version.
    pub from: BTreeSet<String>,
    /// The versions in the new closure, in the same form.
    pub to: BTreeSet<String>,
    /// By how many bytes the package has grown.
    #[serde(rename = "grown_bytes")]
    pub grown: i64,
}

/// The paths of one package in one closure.
#[derive(Default)]
struct PackagePaths<'a> {
    versions: BTreeSet<String>,
    paths: BTreeSet<&'a str>,
    size: u64,
}

impl Diff {
    pub fn new(from: &Closure, to: &Closure) -> Self {
        let mut before = group_by_package(from);
        let mut after = group_by_package(to);
        let names = before.keys().chain(after.keys()).copied().collect::<BTreeSet<_>>();
        let mut diff = Self { from_bytes: from.size(), to_bytes: to.size(), ..Self::default() };
        for name in names {
            diff.add(name, before.remove(name).unwrap_or_default(), after.remove(name).unwrap_or_default());
        }
        diff
    }

    /// Adds the package `name`, if its paths in the old and the new closure differ.
    fn add(&mut self, name: &str, from: PackagePaths, to: PackagePaths) {
        if from.versions != to.versions {
            let grown = difference(to.size, from.size);
            self.packages.push(Package {
                name: name.to_owned(),
                from: from.versions,
                to: to.versions,
                grown,
            });
        } else if from.paths != to.paths {
            self.rebuilt += 1;
        }
    }

    /// The growth of the closure in bytes.
    pub fn growth(&self) -> i64 {
        difference(self.to_bytes, self.from_bytes)
    }

    /// The diff in one line: the kinds of changes that there are, and the size of the new closure.
    pub fn summary(&self) -> String {
        let added = self.packages.iter().filter(|package| package.from.is_empty()).count();
        let removed = self.packages.iter().filter(|package| package.to.is_empty()).count();
        let other = self.packages.len() - added - removed;
        let counts =
            [(added, "added"), (removed, "removed"), (other, "in other versions"), (self.rebuilt, "rebuilt")];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts = counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ");
        let counts = if counts.is_empty() { "the same packages".to_owned() } else { counts };
        format!("{counts}; {} ({:+.1} MiB)", Bytes(self.to_bytes), mib(self.growth()))
    }
}

/// `to - from`. A host may report any size: sizes above `i64::MAX` count as `i64::MAX`.
fn difference(to: u64, from: u64) -> i64 {
    let bounded = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    bounded(to) - bounded(from)
}

/// The paths of `closure` by their packages.
fn group_by_package(closure: &Closure) -> BTreeMap<&str, PackagePaths<'_>> {
    let mut groups = BTreeMap::<&str, PackagePaths>::new();
    for (path, size) in &closure.0 {
        let (name, version) = split_version(path.name());
        let group = groups.entry(name).or_default();
        group.versions.insert(version.to_owned());
        group.paths.insert(path.as_str());
        group.size = group.size.saturating_add(*size);
    }
    groups
}

#[expect(clippy::cast_precision_loss, reason = "one decimal for people")]
fn mib(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  diff  {}", self.summary())?;
        for package in self.packages.iter().take(MAX_SHOWN) {
            write!(f, "\n        {package}")?;
        }
        match self.packages.len().checked_sub(MAX_SHOWN) {
            Some(more @ 1..) => write!(f, "\n        and {more} more"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Package {
    /// `+ curl 8.1`, `- curl 8.1` or `curl 8.1 -> 8.2`, with the growth.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        let from = version_list(&self.from);
        let to = version_list(&self.to);
        match (self.from.is_empty(), self.to.is_empty()) {
            (true, _) => write!(f, "+ {name}{to}"),
            (_, true) => write!(f, "- {name}{from}"),
            _ => write!(f, "  {name}{from} ->{to}"),
        }?;
        let grown = mib(self.grown);
        // Less is rounded to 0.0.
        if grown.abs() < 0.05 { Ok(()) } else { write!(f, " ({grown:+.1} MiB)") }
    }
}

/// The versions as they follow the name of a package, with a space in front; empty for a path without a version.
fn version_list(versions: &BTreeSet<String>) -> String {
    let word = |version: &String| if version.is_empty() { "(none)".to_owned() } else { version.clone() };
    let mut words = versions.iter().take(MAX_VERSIONS).map(word).collect::<Vec<_>>();
    if words == ["(none)"] {
        return String::new();
    }
    if versions.len() > MAX_VERSIONS {
        words.push(format!("{} more", versions.len() - MAX_VERSIONS));
    }
    format!(" {}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix::StorePath;

    /// A closure of paths, each given by the letter that its hash repeats, its name, and its size in bytes.
    fn closure(paths: &[(char, &str, u64)]) -> Closure {
        let path = |letter: char, name: &str| {
            let hash = letter.to_string().repeat(32);
            StorePath::containing(&format!("/nix/store/{hash}-{name}")).unwrap()
        };
        Closure(paths.iter().map(|(letter, name, size)| (path(*letter, name), *size)).collect())
    }

    #[test]
    fn packages_are_counted_and_those_in_other_versions_named() {
        const MIB: u64 = 1 << 20;
        let same = [('a', "glibc-2.40", 9 * MIB), ('b', "etc", 100)];
        for (from, to, expected) in [
            (vec![], vec![], "the same packages; 0 B (+0.0 MiB)"),
            (
                vec![('c', "curl-8.1", MIB), ('d', "curl-8.1-bin", MIB), ('e', "nano-7.2", 3 * MIB)],
                vec![('f', "curl-8.2", 2 * MIB), ('g', "curl-8.2-bin", 2 * MIB), ('h', "vim-9.1", 5 * MIB)],
                "1 added, 1 removed, 1 in other versions; 18.0 MiB (+4.0 MiB)
          curl 8.1 -> 8.2 (+2.0 MiB)
        - nano 7.2 (-3.0 MiB)
        + vim 9.1 (+5.0 MiB)",
            ),
            (
                vec![('c', "unit-a.service", 9), ('d', "zlib-1.3", 10)],
                vec![('e', "unit-a.service", 9), ('f', "zlib-1.3", 10), ('g', "zlib-1.4", 10)],
                "1 in other versions, 1 rebuilt; 9.0 MiB (+0.0 MiB)
          zlib 1.3 -> 1.3, 1.4",
            ),
        ] {
            let with_same = |own: &[(char, &'static str, u64)]| {
                let paths = if own.is_empty() { Vec::new() } else { [&same[..], own].concat() };
                closure(&paths)
            };
            let text = Diff::new(&with_same(&from), &with_same(&to)).to_string();
            assert_eq!(text, format!("  diff  {expected}"));
        }
    }

    #[test]
    fn many_versions_are_cut() {
        let names = (10..60).map(|number| format!("p-{number}")).collect::<Vec<_>>();
        let paths = names.iter().map(|name| ('a', name.as_str(), 1)).collect::<Vec<_>>();
        let text = Diff::new(&Closure::default(), &closure(&paths)).to_string();
        assert!(text.ends_with("+ p 10, 11, 12, 13, 14, 15, 16, 17, 42 more"), "{text}");
    }

    #[test]
    fn a_long_list_is_cut() {
        let names = (0..43).map(|number| format!("p{number:02}-1")).collect::<Vec<_>>();
        let paths = names.iter().map(|name| ('a', name.as_str(), 1)).collect::<Vec<_>>();
        let text = Diff::new(&Closure::default(), &closure(&paths)).to_string();
        assert!(text.ends_with("        + p39 1\n        and 3 more"), "{text}");
    }
}
