//! What is expected on the console, in order, and what is typed there.

use crate::base::process::{Received, Reply};

/// A line that has this in it is waited for; then this is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub awaits: &'static str,
    pub types: Option<&'static str>,
}

const fn see(awaits: &'static str) -> Step {
    Step { awaits, types: None }
}

const fn answer(awaits: &'static str, types: &'static str) -> Step {
    Step { awaits, types: Some(types) }
}

/// Said by U-Boot of the entry in the card's menu. Its first words are lost on a Pi's second serial port.
const UBOOT: &str = "with extlinux";

/// The first boot: the next generation is installed before the host starts anew, which
/// ends the emulator: not every machine in it can be switched off.
pub const FIRST: &[Step] = &[
    see(UBOOT),
    see("Starting kernel"),
    answer("demo: up", "install-generation\n"),
    answer("proof installed", "reboot\n"),
];

/// Any later boot.
pub const SECOND: &[Step] = &[see(UBOOT), see("Starting kernel"), answer("demo: up", "reboot\n")];

/// After one of these nothing more is to be expected: U-Boot has nothing to start and waits at its prompt,
/// or the kernel or the demo's first program has given up.
const FATAL: [&str; 6] =
    ["(0 bootflows", "No more bootdevs", "U-Boot>", "ERROR:", "Kernel panic", "demo: failed"];

/// How far the console has come.
#[derive(Debug)]
pub struct Script {
    steps: &'static [Step],
    done: usize,
    /// The line that makes an end of all hope.
    pub fault: Option<String>,
}

impl Script {
    pub fn new(steps: &'static [Step]) -> Self {
        Self { steps, done: 0, fault: None }
    }

    /// What is still waited for.
    pub fn awaits(&self) -> Option<&'static str> {
        self.steps.get(self.done).map(|step| step.awaits)
    }

    pub fn hear(&mut self, heard: Received) -> Reply {
        let (Received::Line(text) | Received::Partial(text)) = heard;
        if FATAL.iter().any(|fatal| text.contains(fatal)) {
            self.fault = Some(text.trim().to_owned());
            return Reply::Stop;
        }
        match self.steps.get(self.done).filter(|step| text.contains(step.awaits)) {
            Some(step) if matches!(heard, Received::Line(_)) => {
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
            ("demo: up, boot 1 of this card", Reply::Send("install-generation\n"), Some("proof installed")),
            ("~ # install-generation", Reply::Wait, Some("proof installed")),
            ("proof installed generation=2", Reply::Send("reboot\n"), None),
            ("reboot: Restarting system", Reply::Wait, None),
        ] {
            // It is only believed when it is whole.
            assert_eq!(script.hear(Received::Partial(line)), Reply::Wait, "{line}");
            assert_eq!(script.hear(Received::Line(line)), reply, "{line}");
            assert_eq!((script.awaits(), &script.fault), (next, &None), "{line}");
        }
    }

    #[test]
    fn what_ends_a_boot() {
        for heard in [
            Received::Line("(0 bootflows, 0 valid)"),
            Received::Line("No more bootdevs"),
            Received::Partial("U-Boot> "),
            Received::Line("ERROR: Did not find a cmdline Flattened Device Tree"),
            Received::Line("[    1.2] Kernel panic - not syncing: Attempted to kill init!"),
            Received::Line("demo: failed to grow the card:"),
        ] {
            let mut script = Script::new(SECOND);
            assert_eq!(script.hear(heard), Reply::Stop, "{heard:?}");
            assert!(script.fault.is_some());
        }
    }
}
