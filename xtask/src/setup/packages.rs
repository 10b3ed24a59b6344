//! Packages of Debian: the commands that install them, and those that do not go with the packages of the machine.

use super::root::RootCommand;
use crate::base::process::Launcher;

/// The command that reads the lists of packages.
pub fn update() -> RootCommand {
    command(&["update"])
}

/// The command that installs the packages `names`, or fails where apt would remove a package for them.
pub fn install(names: &[&str]) -> RootCommand {
    command(&[INSTALL, names].concat())
}

const INSTALL: &[&str] = &["install", "--yes", "--no-install-recommends", "--no-remove"];

/// A command of apt-get that asks nothing, and waits up to 400 s for another apt-get to end.
fn command(words: &[&str]) -> RootCommand {
    let fixed = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=400"];
    RootCommand::new(&[&fixed, words].concat())
}

/// A package for which apt would remove others.
#[derive(Debug, PartialEq, Eq)]
pub struct Conflict<'a> {
    pub package: &'a str,
    /// The packages that apt would remove.
    pub removed: Vec<String>,
}

/// The packages of `names` for which apt would remove packages of the machine.
pub fn conflicts<'a>(launcher: &Launcher, names: &[&'a str]) -> Vec<Conflict<'a>> {
    if removed_for(launcher, names).is_empty() {
        return Vec::new();
    }
    let of_each =
        names.iter().map(|name| Conflict { package: name, removed: removed_for(launcher, &[name]) });
    of_each.filter(|conflict| !conflict.removed.is_empty()).collect()
}

/// The packages that apt would remove for `names`; none where apt cannot tell.
fn removed_for(launcher: &Launcher, names: &[&str]) -> Vec<String> {
    let args = [&["--simulate", "install", "--no-install-recommends"], names].concat();
    launcher.capture("apt-get", &args).map(|output| removals(&output.stdout)).unwrap_or_default()
}

/// The packages in the lines `Remv NAME [VERSION] …` of a simulation.
fn removals(simulation: &str) -> Vec<String> {
    let lines = simulation.lines().filter_map(|line| line.strip_prefix("Remv "));
    lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_are_read_from_a_simulation() {
        let simulation = "NOTE: This is only a simulation!\n\
            Remv qemu-block-extra [1:10.0] [qemu-utils:amd64 ]\nRemv qemu-utils [1:10.0]\n\
            Inst qemu-system-arm (1:7.2 Debian:12.15/oldstable [amd64])\nConf qemu-system-arm (1:7.2)\n";
        assert_eq!(removals(simulation), ["qemu-block-extra", "qemu-utils"]);
        assert_eq!(removals("Inst git (1:2.39)\n"), [""; 0]);
    }
}
