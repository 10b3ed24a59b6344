//! The dialogue of a boot: the lines to wait for on the console, in order, and the input to type.

use crate::base::process::{Received, Reply};

/// A step waits for a line that contains `awaits`, then types `types`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub awaits: &'static str,
    pub types: Option<&'static str>,
}

const fn expect(awaits: &'static str) -> Step {
    Step { awaits, types: None }
}

const fn answer(awaits: &'static str, types: &'static str) -> Step {
    Step { awaits, types: Some(types) }
}

/// A part of U-Boot's line about the entry of the card's menu. The beginning of the line is lost on a Pi's second
/// serial port.
const UBOOT: &str = "with extlinux";

/// The first boot: installs the next generation, then reboots, which ends the emulator: not every emulated machine can
/// be powered off.
pub const FIRST: &[Step] = &[
    expect(UBOOT),
    expect("Starting kernel"),
    answer("demo: up", "install-generation\n"),
    answer("observed installed", "reboot\n"),
];

/// Any later boot.
pub const SECOND: &[Step] = &[expect(UBOOT), expect("Starting kernel"), answer("demo: up", "reboot\n")];

/// Texts after which a boot cannot continue: U-Boot has nothing to start and waits at its prompt, or the kernel or the
/// demo's first program has failed.
const FATAL: &[&str] =
    &["(0 bootflows", "No more bootdevs", "U-Boot>", "ERROR:", "Kernel panic", "demo: failed"];

/// The progress of the dialogue.
#[derive(Debug)]
pub struct Script {
    steps: &'static [Step],
    done: usize,
    /// The fatal line, if there was one.
    pub fault: Option<String>,
}

impl Script {
    pub fn new(steps: &'static [Step]) -> Self {
        Self { steps, done: 0, fault: None }
    }

    /// The text that the current step waits for; `None` after the last step.
    pub fn awaits(&self) -> Option<&'static str> {
        self.steps.get(self.done).map(|step| step.awaits)
    }

    /// The reply to a text of the console.
    pub fn receive(&mut self, received: Received) -> Reply {
        let (Received::Line(text) | Received::Partial(text)) = received;
        if FATAL.iter().any(|fatal| text.contains(fatal)) {
            self.fault = Some(text.trim().to_owned());
            return Reply::Stop;
        }
        match self.steps.get(self.done).filter(|step| text.contains(step.awaits)) {
            Some(step) if matches!(received, Received::Line(_)) => {
                self.done += 1;
                step.types.map_or(Reply::Wait, Reply::Send)
            }
            _ => Reply::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_of_a_good_boot() {
        let mut script = Script::new(FIRST);
        for (line, reply, next) in [
            ("demo: up", Reply::Wait, Some(UBOOT)),
            ("** Booting bootflow '<NULL>' with efi_mgr", Reply::Wait, Some(UBOOT)),
            ("** Booting bootflow 'virtio' with extlinux", Reply::Wait, Some("Starting kernel")),
            ("Starting kernel ...", Reply::Wait, Some("demo: up")),
            (
                "demo: up, boot 1 of this card",
                Reply::Send("install-generation\n"),
                Some("observed installed"),
            ),
            ("~ # install-generation", Reply::Wait, Some("observed installed")),
            ("observed installed generation=2", Reply::Send("reboot\n"), None),
            ("reboot: Restarting system", Reply::Wait, None),
        ] {
            // Only a whole line counts.
            assert_eq!(script.receive(Received::Partial(line)), Reply::Wait, "{line}");
            assert_eq!(script.receive(Received::Line(line)), reply, "{line}");
            assert_eq!((script.awaits(), &script.fault), (next, &None), "{line}");
        }
    }

    #[test]
    fn fatal_lines_end_a_boot() {
        for received in [
            Received::Line("(0 bootflows, 0 valid)"),
            Received::Line("No more bootdevs"),
            Received::Partial("U-Boot> "),
            Received::Line("ERROR: Did not find a cmdline Flattened Device Tree"),
            Received::Line("[    1.2] Kernel panic - not syncing: Attempted to kill init!"),
            Received::Line("demo: failed to grow the card:"),
        ] {
            let mut script = Script::new(SECOND);
            assert_eq!(script.receive(received), Reply::Stop, "{received:?}");
            assert!(script.fault.is_some());
        }
    }
}
