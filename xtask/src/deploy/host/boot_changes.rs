//! The parts of a system that only a reboot brings into use.

use super::query::{Answer, Query};
use crate::nix::StorePath;

/// The links of a NixOS system to such parts, and the words for the parts in messages.
const LINKS: &[(&str, &str)] =
    &[("kernel", "kernel"), ("kernel-modules", "kernel"), ("initrd", "initrd"), ("dtbs", "device trees")];

/// The parts of the query with the kernel parameters, and the systems that have these.
const PARAMETERS: [(&str, &str); 2] = [("booted-params", "booted"), ("current-params", "current")];

/// Adds the commands from whose output the changes are read.
pub fn add_queries(query: &mut Query) {
    for (name, _) in LINKS {
        let links = ["booted", "current"].map(|system| format!("readlink -f /run/{system}-system/{name}"));
        query.add(name, &links.join("; "));
    }
    for (name, system) in PARAMETERS {
        query.add(name, &format!("cat /run/{system}-system/kernel-params"));
    }
}

/// The parts of the current system that differ from the booted ones.
pub fn read(answer: &Answer) -> Vec<&'static str> {
    let changed_links = LINKS.iter().filter(|(name, _)| are_different_paths(answer.lines(name)));
    let mut changes = changed_links.map(|(_, word)| *word).collect::<Vec<_>>();
    let [booted, current] = PARAMETERS.map(|(name, _)| answer.first_line(name));
    if booted.is_some() && current.is_some() && booted != current {
        changes.push("kernel parameters");
    }
    changes.dedup();
    changes
}

/// Whether `lines` are two store paths, and these differ.
fn are_different_paths<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    // A third path shows that the lines are not the two links.
    let paths = lines.filter(|line| StorePath::containing(line).is_some()).take(3).collect::<Vec<_>>();
    matches!(paths[..], [booted, current] if booted != current)
}

/// The changes as a clause about the parts that are not yet those of `system`, such as `its kernel, device trees are
/// not yet those of this system`. Without changes, the clause names the kernel.
pub fn clause(changes: &[&str], system: &str) -> String {
    match changes {
        [] => format!("its kernel is not yet that of {system}"),
        [one @ ("kernel" | "initrd")] => format!("its {one} is not yet that of {system}"),
        several => format!("its {} are not yet those of {system}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The links of the booted and of the current system, to files in store paths of these names.
    fn links(booted: &str, current: &str) -> String {
        let path = |name| format!("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-{name}/file\n");
        path(booted) + &path(current)
    }

    #[test]
    fn parts_that_differ_from_the_booted_system_are_named() {
        let same = links("a", "a");
        let other = links("a", "b");
        for (parts, expected) in [
            (vec![], "its kernel is not yet that of this system"),
            (vec![("kernel", &other), ("initrd", &same)], "its kernel is not yet that of this system"),
            (
                vec![("kernel-modules", &other), ("kernel", &other)],
                "its kernel is not yet that of this system",
            ),
            (vec![("initrd", &other)], "its initrd is not yet that of this system"),
            (vec![("dtbs", &other)], "its device trees are not yet those of this system"),
            (
                vec![("kernel", &other), ("initrd", &other), ("dtbs", &other)],
                "its kernel, initrd, device trees are not yet those of this system",
            ),
        ] {
            let parts = parts.into_iter().map(|(name, text)| (name, text.as_str())).collect::<Vec<_>>();
            assert_eq!(clause(&read(&Answer::of(&parts)), "this system"), expected, "{parts:?}");
        }
        for (booted, current, expected) in
            [("a=1 b", "a=1 b", 0), ("a=1 b", "a=1 b panic=10", 1), ("", "a=1", 0), ("a=1", "", 0)]
        {
            let answer = Answer::of(&[("booted-params", booted), ("current-params", current)]);
            assert_eq!(read(&answer).len(), expected, "{booted}, {current}");
        }
        let text = clause(&["kernel parameters"], "this system");
        assert_eq!(text, "its kernel parameters are not yet those of this system");
    }
}
