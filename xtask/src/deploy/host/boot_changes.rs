//! The parts of a system that only a reboot brings into use.

use super::query::{Answer, Query};
use crate::nix::StorePath;

/// The links of a NixOS system to such parts, and the words for the parts in messages.
const LINKS: &[(&str, &str)] =
    &[("kernel", "kernel"), ("kernel-modules", "kernel"), ("initrd", "initrd"), ("dtbs", "device trees")];

/// The answer for a link that a system does not have: a machine that is no Pi has no device trees.
const ABSENT: &str = "-";

/// The parts of the query with the kernel parameters, and the systems that have these.
const PARAMETERS: [(&str, &str); 2] = [("booted-params", "booted"), ("current-params", "current")];

/// Adds the commands from whose output the changes are read.
pub fn add_queries(query: &mut Query) {
    for (name, _) in LINKS {
        // busybox has no `readlink -e`.
        let links = ["booted", "current"].map(|system| {
            let link = format!("/run/{system}-system/{name}");
            format!("test -e {link} && readlink -f {link} || echo {ABSENT}")
        });
        query.add(name, &links.join("; "));
    }
    for (name, system) in PARAMETERS {
        query.add(name, &format!("cat /run/{system}-system/kernel-params"));
    }
}

/// The parts of the current system that differ from the booted ones.
pub fn read(answer: &Answer) -> Vec<&'static str> {
    // Nothing is known of a machine that did not boot a NixOS, such as a container.
    let is_booted = answer.first_line("booted").is_some_and(|line| StorePath::containing(line).is_some());
    let changed_links = LINKS.iter().filter(|(name, _)| is_booted && are_different_paths(answer.lines(name)));
    let mut changes = changed_links.map(|(_, word)| *word).collect::<Vec<_>>();
    let [booted, current] = PARAMETERS.map(|(name, _)| answer.first_line(name));
    if booted.is_some() && current.is_some() && booted != current {
        changes.push("kernel parameters");
    }
    changes.dedup();
    changes
}

/// Whether `lines` are two links, be it absent ones, and these differ.
fn are_different_paths<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    // A third path shows that the lines are not the two links.
    let is_link = |line: &&str| *line == ABSENT || StorePath::containing(line).is_some();
    let paths = lines.filter(is_link).take(3).collect::<Vec<_>>();
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

    /// The answer of a host that booted a NixOS.
    const BOOTED: (&str, &str) = ("booted", "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a");

    /// A machine that is no Pi has no device trees, and a container booted no NixOS.
    #[test]
    fn absent_links_differ_only_from_present_ones() {
        let path = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-a/file";
        for (text, booted, expected) in [
            ("-\n-\n".to_owned(), BOOTED.1, 0),
            (format!("{path}\n{path}\n"), BOOTED.1, 0),
            (format!("-\n{path}\n"), BOOTED.1, 1),
            (format!("{path}\n-\n"), BOOTED.1, 1),
            (format!("-\n{path}\n"), "/run/booted-system", 0),
            (format!("-\n{path}\n"), "", 0),
        ] {
            let answer = Answer::of(&[("dtbs", &text), ("booted", booted)]);
            assert_eq!(read(&answer).len(), expected, "{text} {booted}");
        }
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
            let parts = parts.into_iter().map(|(name, text)| (name, text.as_str())).chain([BOOTED]);
            let parts = parts.collect::<Vec<_>>();
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
