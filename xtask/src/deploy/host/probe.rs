//! What the host runs, read in one round trip.

use anyhow::Result;
use serde::Serialize;

use super::question::{Answer, Question};
use super::ssh::{LOOK, Remote};
use super::workdir::Workdir;
use crate::base::shell;
use crate::deploy::target::Target;
use crate::nix::StorePath;

/// A command line that an activation of deploy-rs has. The bracket keeps the pattern from matching the shell in which it
/// stands. Everybody can start a process with such a command line: only those of root and of the user who logs in count,
/// by their real user, which `su` and `sudo` have only once they have let somebody in.
const ACTIVATION: &str = "activate .*[-]-confirm-timeout";

/// What the kernel keeps until the next boot, as links in a NixOS system.
const BOOTED: [&str; 3] = ["kernel", "initrd", "kernel-modules"];

/// Stands for the failed units where systemd does not tell them; the name of a unit has a dot.
const UNTOLD: &str = "untold";

/// How many failed units are read, and how long the name of one is (systemd allows no longer ones).
const MOST_UNITS: usize = 4096;
const LONGEST_UNIT: usize = 255;
/// How many failed units are named to people; programs are told all that were read.
const NAMED_UNITS: usize = 20;

/// The part with the files of a deploy that is not confirmed.
const UNCONFIRMED: &str = "unconfirmed";

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
    /// The device and the inode of the folder with the profile: together with the boot they tell one machine from another,
    /// and containers on one kernel.
    #[serde(skip)]
    pub folder: Option<String>,
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
}

impl State {
    /// What of the host is compared with [`Target::content`].
    pub fn compared_with(&self, target: &Target) -> Option<&StorePath> {
        let running = self.current.as_ref();
        running.filter(|_| target.system.is_some()).or(self.profile.as_ref()).or(running)
    }
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
    probe_with(remote, target, |_| {})
}

/// The same once deploy-rs has ended, which worked in `workdir`. Where it has said that the deploy is `confirmed`, nothing
/// works there any more, and the folder is removed.
pub fn probe_after(remote: &Remote, target: &Target, workdir: &Workdir, confirmed: bool) -> Result<State> {
    probe_with(remote, target, |question| {
        question.ask(UNCONFIRMED, &workdir.list());
        if confirmed {
            question.ask("removed", &workdir.remove_empty());
        }
    })
}

fn probe_with(remote: &Remote, target: &Target, more: impl FnOnce(&mut Question)) -> Result<State> {
    let mut question = Question::new()?;
    ask(&mut question, target);
    more(&mut question);
    Ok(State::read(&remote.ask(&question, LOOK)?))
}

/// Adds all parts of which the state of `target` is read.
pub fn ask(question: &mut Question, target: &Target) {
    let users = trusted_users(target);
    let sudo = target.sudo.as_deref().and_then(silent);
    for (name, command) in [
        ("current", "readlink -f /run/current-system".to_owned()),
        ("booted", "readlink -f /run/booted-system".to_owned()),
        ("profile", format!("readlink -f {}", shell::quote(&target.link))),
        ("offered", format!("readlink -f {}/activate", target.path)),
        ("boot", "cat /proc/sys/kernel/random/boot_id".to_owned()),
        ("folder", format!("stat -L -c %d:%i {}", shell::quote(folder(&target.link)))),
        // The oldest process of root: a `pgrep` that does not know the option says nothing.
        ("pgrep", "pgrep -U root -o .".to_owned()),
        ("activation", format!("pgrep -U {users} -f '{ACTIVATION}'")),
        ("failed", format!("systemctl --failed --no-legend --plain || echo {UNTOLD}")),
        ("way-back", format!("ls {}", shell::quote(&format!("{}/deploy-rs-activate", target.link)))),
        ("switch", format!("ls {}", shell::quote(&format!("{}/bin/switch-to-configuration", target.link)))),
    ] {
        question.ask(name, &command);
    }
    if let Some(sudo) = sudo {
        question.ask("sudo", &format!("{sudo} echo yes || echo no"));
    }
    for name in BOOTED {
        let links = ["booted", "current"].map(|system| format!("readlink -f /run/{system}-system/{name}"));
        question.ask(name, &links.join("; "));
    }
}

/// The folder in which `link` is.
fn folder(link: &str) -> &str {
    link.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// The users whose processes can be an activation, as `pgrep` takes them.
fn trusted_users(target: &Target) -> String {
    let login = target.connection.destination.split_once('@').map(|(login, _)| login);
    login
        .filter(|login| *login != "root")
        .map_or("root".to_owned(), |login| shell::quote(&format!("root,{login}")))
}

/// The words in front of a command, so that they ask for no password; `None` for a program that is not known.
fn silent(sudo: &str) -> Option<String> {
    let (program, rest) = sudo.split_once(' ')?;
    ["sudo", "doas"].contains(&program).then(|| format!("{program} -n {rest}"))
}

impl State {
    /// The units of which it is known that they have failed.
    pub fn failed(&self) -> &[String] {
        self.failed_units.as_deref().unwrap_or_default()
    }

    /// The failed units for people: the first of them by name, and how many more there are.
    pub fn failed_in_words(&self) -> String {
        let units = self.failed();
        let named = units[..units.len().min(NAMED_UNITS)].join(", ");
        match units.len().checked_sub(NAMED_UNITS) {
            Some(more @ 1..) => format!("{named} and {more} more"),
            _ => named,
        }
    }

    /// Reads the parts of [`ask`].
    pub fn read(answer: &Answer) -> Self {
        let path = |name| StorePath::containing(answer.first(name)?);
        let activity = match (answer.first("pgrep"), answer.first("activation")) {
            (None, _) if answer.first(UNCONFIRMED).is_some() => Activity::Running,
            (None, _) => Activity::Unknown,
            (_, None) => Activity::Idle,
            _ => Activity::Running,
        };
        Self {
            current: path("current"),
            booted: path("booted"),
            profile: path("profile"),
            way_back: answer.first("way-back").is_some(),
            switches: answer.first("switch").is_some(),
            sudo: answer.first("sudo").map(|word| word == "yes"),
            offered: path("offered"),
            boot_id: answer.first("boot").unwrap_or_default().to_owned(),
            folder: answer.first("folder").map(str::to_owned),
            activity,
            failed_units: failed_units(answer),
            reboot_needed: BOOTED.iter().any(|name| differ(answer.lines(name))),
        }
    }
}

fn failed_units(answer: &Answer) -> Option<Vec<String>> {
    let (told, untold) = answer
        .lines("failed")
        .filter_map(first_word)
        .take(MOST_UNITS)
        .partition::<Vec<_>, _>(|word| word != UNTOLD);
    (untold.is_empty() || !told.is_empty()).then_some(told)
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(|word| word.chars().take(LONGEST_UNIT).collect())
}

/// Whether two paths in the store were read, and are not the same.
fn differ<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    let paths = lines.filter(|line| StorePath::containing(line).is_some()).take(3).collect::<Vec<_>>();
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
        let state = State::read(&Answer::of(&[
            ("current", &format!("{new}\n")),
            ("booted", &format!("{old}\n")),
            ("profile", &format!("{old}\n")),
            ("offered", &format!("{new}/activate\n")),
            ("boot", "id\n"),
            ("pgrep", "1\n"),
            ("activation", "12\n"),
            ("failed", "a.service loaded failed failed A\n"),
            ("way-back", "/p/deploy-rs-activate\n"),
            ("sudo", "no\n"),
            ("kernel", &format!("{old}/bzImage\n{new}/bzImage\n")),
            ("initrd", &format!("{old}/i\n{old}/i\n")),
        ]));
        let expected = State {
            current: StorePath::containing(&new),
            booted: StorePath::containing(&old),
            profile: StorePath::containing(&old),
            way_back: true,
            switches: false,
            sudo: Some(false),
            offered: StorePath::containing(&new),
            boot_id: "id".into(),
            folder: None,
            activity: Activity::Running,
            failed_units: Some(vec!["a.service".into()]),
            reboot_needed: true,
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn a_host_without_anything() {
        let links = "/run/booted-system/kernel\n/run/current-system/kernel";
        let answer = Answer::of(&[("current", "/run/current-system"), ("failed", UNTOLD), ("kernel", links)]);
        assert_eq!(State::read(&answer), State::default());
        let waits = Answer::of(&[(UNCONFIRMED, "deploy-rs-canary-x\n")]);
        assert_eq!(State::read(&waits).activity, Activity::Running);
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
            ("untold\n", None),
            ("a.service loaded failed failed A\nuntold\n", some(&["a.service"])),
        ] {
            assert_eq!(failed_units(&Answer::of(&[("failed", said)])), expected, "{said}");
        }
    }

    #[test]
    fn endless_units() {
        let said = format!("{} loaded\n{}", "x".repeat(1 << 20), "a.service failed\n".repeat(100_000));
        let state = State::read(&Answer::of(&[("failed", &said)]));
        assert_eq!((state.failed().len(), state.failed()[0].len()), (MOST_UNITS, LONGEST_UNIT));
        let words = state.failed_in_words();
        assert!(words.len() < 1000 && words.ends_with("a.service and 4076 more"), "{words}");
    }

    #[test]
    fn fuzz() {
        let (old, new) = (store("old"), store("new"));
        let links = format!("{old}/bzImage\n{new}/bzImage\n");
        crate::base::fuzz::check_text(&[&links, "a.service loaded failed failed A\nuntold\n"], |text| {
            let names = ["current", "boot", "failed", "kernel", "sudo", "pgrep"];
            State::read(&Answer::of(&names.map(|name| (name, text))))
        });
    }
}
