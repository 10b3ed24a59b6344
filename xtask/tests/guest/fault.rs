//! Faults of a new generation.

use std::collections::BTreeSet;

use super::Guest;
use super::card::{SYSTEM_1, SYSTEM_2, saved};

/// A fault of a generation, and its effect.
#[derive(Default)]
pub struct Fault<'a> {
    /// A script that changes the system in the folder `$s` before it is installed.
    pub change: &'a str,
    /// A script that runs after the installation.
    pub after: &'a str,
    /// The reason that the host notes; empty where it cannot know one.
    pub reason: &'a str,
    /// The marks that the trial reaches.
    pub marks: &'a str,
}

impl Fault<'_> {
    /// Installs the generation, reboots, and asserts that the host goes back to the old generation, and that it notes
    /// the reason and the marks.
    #[track_caller]
    pub fn assert_sends_the_host_back(&self) {
        let guest = Guest::restore(saved());
        guest.install(self.change);
        guest.run(&format!("boot-trial arm deployer; {}", self.after));
        let from = guest.begin_reboot();
        let from = guest.wait_for_line("trial: nixos-trial, once", from);
        let from = guest.wait_for_boot_of(SYSTEM_1, from);
        // The host then has recorded the outcome of the trial.
        guest.wait_for_line("boot-complete.target", from);
        let status = guest.status();
        let names = ["blessed", "pending", "last-system", "last-outcome", "last-reason"];
        let values = names.map(|name| status[name].as_str());
        assert_eq!(values, [SYSTEM_1, "", SYSTEM_2, "rolled-back", self.reason], "{status:?}");
        // Units that start at the same time leave their marks in any order.
        let marks = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(marks(&status["last-marks"]), marks(self.marks));
    }
}
