//! The dialogue of a boot: the lines to wait for on the console, in order, and the input to type.

use crate::base::process::{Received, Reply};

/// A step of the dialogue: waits for a line of the console that contains a text, and may then type an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub awaited: &'static str,
    pub input: Option<&'static str>,
}

/// The step that waits for `awaited` and types nothing.
const fn wait_for(awaited: &'static str) -> Step {
    Step { awaited, input: None }
}

/// The step that waits for `awaited` and then types `input`.
const fn answer(awaited: &'static str, input: &'static str) -> Step {
    Step { awaited, input: Some(input) }
}

/// A part of U-Boot's line about the entry of the card's menu. The beginning of the line is lost on a Pi's second
/// serial port.
const UBOOT: &str = "with extlinux";

/// The steps of the first boot: install the next generation, and reboot. The reboot ends the emulator; not every
/// emulated machine can be powered off.
pub const FIRST_BOOT: &[Step] = &[
    wait_for(UBOOT),
    wait_for("Starting kernel"),
    answer("demo: up", "install-generation\n"),
    answer("observed installed", "reboot\n"),
];

/// The steps of any later boot.
pub const LATER_BOOT: &[Step] =
    &[wait_for(UBOOT), wait_for("Starting kernel"), answer("demo: up", "reboot\n")];

/// Texts after which a boot cannot continue: U-Boot has nothing to start and waits at its prompt, or the kernel or the
/// demo's first program has failed.
const FATAL: &[&str] =
    &["(0 bootflows", "No more bootdevs", "U-Boot>", "ERROR:", "Kernel panic", "demo: failed"];

/// The progress of the dialogue.
#[derive(Debug)]
pub struct Script {
    steps: &'static [Step],
    /// The number of completed steps.
    done: usize,
    /// The fatal line of the console, if there was one.
    pub fatal_line: Option<String>,
}

impl Script {
    pub fn new(steps: &'static [Step]) -> Self {
        Self { steps, done: 0, fatal_line: None }
    }

    /// The text that the current step waits for; `None` after the last step.
    pub fn awaited(&self) -> Option<&'static str> {
        self.steps.get(self.done).map(|step| step.awaited)
    }

    /// Takes a text of the console, and returns the reply. A fatal text stops the boot, also in a line that has not
    /// ended; a step is completed only by a whole line.
    pub fn receive(&mut self, received: Received) -> Reply {
        let (Received::Line(text) | Received::Partial(text)) = received;
        if FATAL.iter().any(|fatal| text.contains(fatal)) {
            self.fatal_line = Some(text.trim().to_owned());
            return Reply::Stop;
        }
        let is_whole_line = matches!(received, Received::Line(_));
        match self.steps.get(self.done) {
            Some(step) if is_whole_line && text.contains(step.awaited) => {
                self.done += 1;
                step.input.map_or(Reply::Wait, Reply::Send)
            }
            _ => Reply::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_complete_the_steps_in_order() {
        let mut script = Script::new(FIRST_BOOT);
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
            assert_eq!(script.receive(Received::Partial(line)), Reply::Wait, "{line}");
            assert_eq!(script.receive(Received::Line(line)), reply, "{line}");
            assert_eq!((script.awaited(), &script.fatal_line), (next, &None), "{line}");
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
            let mut script = Script::new(LATER_BOOT);
            assert_eq!(script.receive(received), Reply::Stop, "{received:?}");
            assert!(script.fatal_line.is_some());
        }
    }
}
