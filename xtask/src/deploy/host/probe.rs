//! What the host runs, read in one round trip.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use super::options::quoted;
use super::ssh::Remote;
use crate::deploy::meant::Target;
use crate::failure::Kind;
use crate::nix::StorePath;

/// A command line that only an activation of deploy-rs has. The bracket keeps the pattern from
/// matching the shell in which it stands.
const ACTIVATION: &str = "activate .*[-]-confirm-timeout";

/// What the kernel keeps until the next boot, as links in a NixOS system.
const BOOTED: [&str; 3] = ["kernel", "initrd", "kernel-modules"];

/// Stands for the failed units where systemd does not tell them.
const UNTOLD: &str = "@untold";

/// What the host runs and has ready at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// What `/run/current-system` leads to: the system that was activated last.
    pub current: Option<StorePath>,
    /// What `/run/booted-system` leads to: the system that the running kernel came with.
    pub booted: Option<StorePath>,
    /// The current generation of the profile.
    pub profile: Option<StorePath>,
    /// The system that the profile that is meant would activate, once it is on the host.
    pub offered: Option<StorePath>,
    /// Changes with each boot.
    pub boot_id: String,
    /// The units that have failed; `None` where there is no systemd that tells.
    pub failed_units: Option<Vec<String>>,
    /// Whether the running kernel, its initrd or its modules are not those of the current system.
    pub reboot_needed: bool,
    /// Whether deploy-rs can go back to the current generation of the profile: the one that was flashed lacks
    /// what that takes.
    pub way_back: bool,
    /// Whether the current generation is a NixOS system, which can be activated.
    pub switches: bool,
    /// Whether a command of the profile's user needs no password; `None` where none is run as another user.
    #[serde(skip)]
    pub sudo: Option<bool>,
    #[serde(skip)]
    pub activity: Activity,
    /// Canary and cancel files of deploy-rs.
    #[serde(skip)]
    pub leftovers: Vec<String>,
}

/// Whether an activation of deploy-rs runs on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    Idle,
    Running,
    /// The host has no `pgrep`.
    #[default]
    Unknown,
}

/// Reads the state of `target` on a fresh connection.
pub fn probe(remote: &Remote, target: &Target) -> Result<State> {
    State::read(target, &remote.run(&question(target))?)
}

/// The one command: plain programs in a row, each behind a line that names what follows, understood
/// by any login shell. A program that fails or is not there leaves its part empty.
pub fn question(target: &Target) -> String {
    let (link, offered) = (quoted(&target.link), format!("{}/activate", target.path));
    let switch = quoted(&format!("{}/bin/switch-to-configuration", target.link));
    let way_back = quoted(&format!("{}/deploy-rs-activate", target.link));
    let sudo = target.sudo.as_deref().and_then(silent).map(|sudo| format!("{sudo} echo yes"));
    let mut text = String::new();
    for (name, command) in [
        ("current", "readlink -f /run/current-system"),
        ("booted", "readlink -f /run/booted-system"),
        ("profile", &format!("readlink -f {link}")),
        ("offered", &format!("readlink -f {offered}")),
        ("boot", "cat /proc/sys/kernel/random/boot_id"),
        ("pgrep", "command -v pgrep"),
        ("activation", &format!("pgrep -f '{ACTIVATION}'")),
        ("leftovers", &find_leftovers(&target.temp_path)),
        ("failed", &format!("systemctl --failed --no-legend --plain || echo {UNTOLD}")),
        ("way-back", &format!("ls {way_back}")),
        ("switch", &format!("ls {switch}")),
    ] {
        let _ = write!(text, "echo @{name}; {command}; ");
    }
    if let Some(sudo) = sudo {
        let _ = write!(text, "echo @sudo; {sudo} || echo no; ");
    }
    for name in BOOTED {
        let _ = write!(text, "echo @{name}; ");
        let _ =
            write!(text, "readlink -f /run/booted-system/{name}; readlink -f /run/current-system/{name}; ");
    }
    text + "echo @end"
}

/// The words in front of a command, so that they ask for no password; `None` for a program that is not known.
fn silent(sudo: &str) -> Option<String> {
    let (program, rest) = sudo.split_once(' ')?;
    ["sudo", "doas"].contains(&program).then(|| format!("{program} -n {rest}"))
}

fn find_leftovers(temp_path: &str) -> String {
    let temp_path = quoted(temp_path);
    format!(r"find {temp_path} -maxdepth 1 -name 'deploy-rs-canary-*' -o -name 'deploy-rs-cancel-*'")
}

impl State {
    /// The units of which it is known that they have failed.
    pub fn failed(&self) -> &[String] {
        self.failed_units.as_deref().unwrap_or_default()
    }

    /// Reads the answer to [`question`].
    ///
    /// # Errors
    /// `Undecided` where it does not come to its end.
    pub fn read(target: &Target, answer: &str) -> Result<Self> {
        let cut_off = || Kind::Undecided.error(format!("{} did not answer to the end", target.host));
        Self::parse(answer).ok_or_else(cut_off)
    }

    /// Reads the answer; `None` where it does not come to its end.
    fn parse(answer: &str) -> Option<Self> {
        answer.trim_end().ends_with("@end").then_some(())?;
        let path = |name| StorePath::containing(section(answer, name).next()?);
        let first = |name| section(answer, name).next();
        let activity = match (first("pgrep"), first("activation")) {
            (None, _) => Activity::Unknown,
            (_, None) => Activity::Idle,
            _ => Activity::Running,
        };
        Some(Self {
            current: path("current"),
            booted: path("booted"),
            profile: path("profile"),
            way_back: first("way-back").is_some(),
            switches: first("switch").is_some(),
            sudo: first("sudo").map(|word| word == "yes"),
            offered: path("offered"),
            boot_id: first("boot").unwrap_or_default().to_owned(),
            activity,
            leftovers: section(answer, "leftovers").map(str::to_owned).collect(),
            failed_units: failed_units(answer),
            reboot_needed: BOOTED.iter().any(|name| differ(section(answer, name))),
        })
    }
}

/// The lines between `@name` and the next `@`.
pub fn section<'a>(answer: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = answer.lines().map(str::trim).filter(|line| !line.is_empty());
    let from = lines.skip_while(move |line| line.strip_prefix('@') != Some(name)).skip(1);
    from.take_while(|line| !line.starts_with('@'))
}

fn failed_units(answer: &str) -> Option<Vec<String>> {
    let units = section(answer, "failed").filter_map(first_word).collect::<Vec<_>>();
    let untold = answer.lines().any(|line| line.trim() == UNTOLD);
    (!untold || !units.is_empty()).then_some(units)
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(str::to_owned)
}

/// Whether two paths in the store were read, and are not the same.
fn differ<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    let paths = lines.filter(|line| StorePath::containing(line).is_some()).collect::<Vec<_>>();
    matches!(paths[..], [booted, current] if booted != current)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> String {
        format!("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-{name}")
    }

    #[test]
    fn an_answer() {
        let (old, new) = (store("old"), store("new"));
        let answer = format!(
            "@current\n{new}\n@booted\n{old}\n@profile\n{old}\n@offered\n{new}/activate\n@boot\nid\n@pgrep\n/bin/pgrep\n\
             @activation\n12\n@leftovers\n/tmp/deploy-rs-canary-x\n@failed\na.service loaded failed failed A\n\
             @way-back\n/p/deploy-rs-activate\n@switch\n@sudo\nno\n@kernel\n{old}/bzImage\n{new}/bzImage\n@initrd\n{old}/i\n{old}/i\n@kernel-modules\n@end\n"
        );
        let state = State::parse(&answer).unwrap();
        let expected = State {
            current: StorePath::containing(&new),
            booted: StorePath::containing(&old),
            profile: StorePath::containing(&old),
            way_back: true,
            switches: false,
            sudo: Some(false),
            offered: StorePath::containing(&new),
            boot_id: "id".into(),
            activity: Activity::Running,
            leftovers: vec!["/tmp/deploy-rs-canary-x".into()],
            failed_units: Some(vec!["a.service".into()]),
            reboot_needed: true,
        };
        assert_eq!(state, expected);
        assert_eq!(State::parse(answer.strip_suffix("end\n").unwrap()), None);
    }

    #[test]
    fn a_host_without_anything() {
        let answer = "@current\n/run/current-system\n@profile\n@offered\n@boot\n@pgrep\n@activation\n@leftovers\n\
                      @failed\n@untold\n@kernel\n/run/booted-system/kernel\n/run/current-system/kernel\n@end";
        assert_eq!(State::parse(answer), Some(State::default()));
    }

    #[test]
    fn units() {
        let some = |units: &[&str]| Some(units.iter().map(ToString::to_string).collect::<Vec<_>>());
        for (said, expected) in [
            ("", some(&[])),
            (
                "a.service loaded failed failed A\nb.timer loaded failed failed B\n",
                some(&["a.service", "b.timer"]),
            ),
            ("@untold\n", None),
            ("a.service loaded failed failed A\n@untold\n", some(&["a.service"])),
        ] {
            assert_eq!(
                failed_units(&format!("@leftovers\n@failed\n{said}@way-back\n@end\n")),
                expected,
                "{said}"
            );
        }
    }
}
