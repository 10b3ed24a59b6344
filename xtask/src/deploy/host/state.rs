//! The state of a host, read from the answer of a probe.

use schemars::JsonSchema;
use serde::Serialize;

use super::boot_changes;
use super::query::Answer;
use super::trial::Trial;
use crate::deploy::target::Target;
use crate::nix::StorePath;

/// The marker for failed units that systemd does not list; the name of a unit has a dot.
pub(super) const UNITS_UNKNOWN: &str = "untold";

/// How many failed units are read.
const MAX_UNITS: usize = 4096;
/// The longest name of a unit that systemd allows, in characters.
const MAX_UNIT_NAME: usize = 255;
/// How many failed units are shown to people; JSON has all that were read.
const MAX_SHOWN_UNITS: usize = 20;

/// The part of the answer that lists the files of an unconfirmed deploy.
pub(super) const UNCONFIRMED: &str = "unconfirmed";

/// What the host runs, boots and has ready at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct State {
    /// The target of `/run/current-system`: the system that was activated last.
    #[serde(rename = "system")]
    pub current: Option<StorePath>,
    /// The target of `/run/booted-system`: the system of the running kernel.
    #[serde(rename = "booted_system")]
    pub booted: Option<StorePath>,
    /// The current generation of the profile.
    pub profile: Option<StorePath>,
    /// The system that the desired profile activates, once the host has that profile.
    pub profile_system: Option<StorePath>,
    /// The ID of the current boot.
    pub boot_id: String,
    /// The device and the inode of the folder with the profile. Together with the boot ID they identify a machine or
    /// a container: containers of one machine share the boot.
    #[serde(skip)]
    pub folder: Option<String>,
    /// The failed units; `None` if no systemd answers.
    pub failed_units: Option<Vec<String>>,
    /// Whether only a reboot brings all of the current system into use.
    pub reboot_needed: bool,
    /// The parts of the current system that need the reboot, in the words of [`boot_changes::read`].
    pub boot_changes: Vec<&'static str>,
    /// Whether deploy-rs can roll back to the current generation of the profile. A flashed system lacks the program
    /// for that.
    pub can_roll_back: bool,
    /// Whether the current generation is a NixOS system, which can be activated.
    pub is_nixos: bool,
    /// What the host knows of trials of new systems.
    pub trial: Trial,
    /// Whether sudo to the user of the profile needs no password; `None` if ssh logs in as that user, or if the program
    /// for it is neither sudo nor doas.
    #[serde(skip)]
    pub passwordless_sudo: Option<bool>,
    #[serde(skip)]
    pub activity: Activity,
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

impl State {
    /// The path on the host that is compared with [`Target::desired_path`]: the system if the flake has one, else the
    /// profile. Where one is missing, the other; `None` where both are.
    pub fn running_path(&self, target: &Target) -> Option<&StorePath> {
        match (&self.current, &self.profile) {
            (Some(current), _) if target.system.is_some() => Some(current),
            (_, Some(profile)) => Some(profile),
            (current, None) => current.as_ref(),
        }
    }

    /// Whether the host has not booted all of what it runs.
    pub fn awaits_reboot(&self) -> bool {
        self.reboot_needed || self.booted != self.current
    }

    /// The units that are known to have failed.
    pub fn known_failed_units(&self) -> &[String] {
        self.failed_units.as_deref().unwrap_or_default()
    }

    /// The failed units for people: the first of them, and the number of the others.
    pub fn failed_units_text(&self) -> String {
        let units = self.known_failed_units();
        let named = units[..units.len().min(MAX_SHOWN_UNITS)].join(", ");
        match units.len().checked_sub(MAX_SHOWN_UNITS) {
            Some(more @ 1..) => format!("{named} and {more} more"),
            _ => named,
        }
    }

    /// Whether an activation, or its rollback, is running; `None` where that is unknown.
    pub fn is_activating(&self) -> Option<bool> {
        match self.activity {
            Activity::Running => Some(true),
            Activity::Idle => Some(false),
            Activity::Unknown => None,
        }
    }

    /// Reads the parts of [`super::add_queries`].
    pub fn read(answer: &Answer) -> Self {
        let path = |name| StorePath::containing(answer.first_line(name)?);
        let boot_changes = boot_changes::read(answer);
        Self {
            current: path("current"),
            booted: path("booted"),
            profile: path("profile"),
            can_roll_back: answer.first_line("rollback").is_some(),
            is_nixos: answer.first_line("switch").is_some(),
            trial: Trial::read(answer),
            passwordless_sudo: answer.first_line("sudo").map(|word| word == "yes"),
            profile_system: path("offered"),
            boot_id: answer.first_line("boot").unwrap_or_default().to_owned(),
            folder: answer.first_line("folder").map(str::to_owned),
            activity: Activity::read(answer),
            failed_units: read_failed_units(answer),
            reboot_needed: !boot_changes.is_empty(),
            boot_changes,
        }
    }
}

impl Activity {
    fn read(answer: &Answer) -> Self {
        let has_pgrep = answer.first_line("pgrep").is_some();
        let waits_for_confirmation = answer.first_line(UNCONFIRMED).is_some();
        if !has_pgrep {
            return if waits_for_confirmation { Self::Running } else { Self::Unknown };
        }
        if answer.first_line("activation").is_some() { Self::Running } else { Self::Idle }
    }
}

/// The failed units; `None` if no systemd answers.
fn read_failed_units(answer: &Answer) -> Option<Vec<String>> {
    let words = answer.lines("failed").filter_map(first_word).take(MAX_UNITS).collect::<Vec<_>>();
    let is_unknown = words.iter().any(|word| word == UNITS_UNKNOWN);
    let units = words.into_iter().filter(|word| word != UNITS_UNKNOWN).collect::<Vec<_>>();
    if is_unknown && units.is_empty() { None } else { Some(units) }
}

/// The first word of `line`, in at most [`MAX_UNIT_NAME`] characters; `None` for an empty line.
fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(|word| word.chars().take(MAX_UNIT_NAME).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> String {
        format!("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-{name}")
    }

    #[test]
    fn all_parts_of_an_answer_are_read() {
        let old = store("old");
        let new = store("new");
        let state = State::read(&Answer::of(&[
            ("current", &format!("{new}\n")),
            ("booted", &format!("{old}\n")),
            ("profile", &format!("{old}\n")),
            ("offered", &format!("{new}/activate\n")),
            ("boot", "id\n"),
            ("pgrep", "1\n"),
            ("activation", "12\n"),
            ("failed", "a.service loaded failed failed A\n"),
            ("rollback", "/p/deploy-rs-activate\n"),
            ("sudo", "no\n"),
            ("kernel", &format!("{old}/bzImage\n{new}/bzImage\n")),
            ("initrd", &format!("{old}/i\n{old}/i\n")),
        ]));
        let expected = State {
            current: StorePath::containing(&new),
            booted: StorePath::containing(&old),
            profile: StorePath::containing(&old),
            can_roll_back: true,
            is_nixos: false,
            trial: Trial::Absent,
            passwordless_sudo: Some(false),
            profile_system: StorePath::containing(&new),
            boot_id: "id".into(),
            folder: None,
            activity: Activity::Running,
            failed_units: Some(vec!["a.service".into()]),
            reboot_needed: true,
            boot_changes: vec!["kernel"],
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn the_state_of_a_host_without_nixos_is_unknown() {
        let links = "/run/booted-system/kernel\n/run/current-system/kernel";
        let answer =
            Answer::of(&[("current", "/run/current-system"), ("failed", UNITS_UNKNOWN), ("kernel", links)]);
        assert_eq!(State::read(&answer), State::default());
    }

    #[test]
    fn without_pgrep_an_unconfirmed_deploy_is_a_running_activation() {
        let waits = Answer::of(&[(UNCONFIRMED, "deploy-rs-canary-x\n")]);
        assert_eq!(State::read(&waits).activity, Activity::Running);
    }

    #[test]
    fn failed_units_are_read_from_the_list_of_systemctl() {
        let some = |units: &[&str]| Some(units.iter().map(ToString::to_string).collect::<Vec<_>>());
        for (output, expected) in [
            ("", some(&[])),
            (
                "a.service loaded failed failed A\nb.timer loaded failed failed B\n",
                some(&["a.service", "b.timer"]),
            ),
            ("untold\n", None),
            ("a.service loaded failed failed A\nuntold\n", some(&["a.service"])),
        ] {
            assert_eq!(read_failed_units(&Answer::of(&[("failed", output)])), expected, "{output}");
        }
    }

    #[test]
    fn lists_of_units_are_cut() {
        let output = format!("{} loaded\n{}", "x".repeat(1 << 20), "a.service failed\n".repeat(100_000));
        let state = State::read(&Answer::of(&[("failed", &output)]));
        let units = state.known_failed_units();
        assert_eq!((units.len(), units[0].len()), (MAX_UNITS, MAX_UNIT_NAME));
        let words = state.failed_units_text();
        assert!(words.len() < 1000 && words.ends_with("a.service and 4076 more"), "{words}");
    }

    #[test]
    fn fuzz() {
        let old = store("old");
        let new = store("new");
        let links = format!("{old}/bzImage\n{new}/bzImage\n");
        crate::base::fuzz::check_text(&[&links, "a.service loaded failed failed A\nuntold\n"], |text| {
            let names = ["current", "boot", "failed", "kernel", "sudo", "pgrep"];
            State::read(&Answer::of(&names.map(|name| (name, text))))
        });
    }
}
