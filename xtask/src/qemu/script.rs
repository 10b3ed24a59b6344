//! The dialogue of a boot: the lines to wait for on the console, in order, and the input to type.

use super::console::Watch;
use super::faults::FaultSearch;
use crate::base::process::{Received, Reply};

/// A step of the dialogue: waits for a line of the console that contains a text, and may then type an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub awaited: &'static str,
    pub input: Option<&'static str>,
}

impl Step {
    /// The step that waits for `awaited` and types nothing.
    pub const fn wait_for(awaited: &'static str) -> Self {
        Self { awaited, input: None }
    }

    /// The step that waits for `awaited` and then types `input`.
    pub const fn answer(awaited: &'static str, input: &'static str) -> Self {
        Self { awaited, input: Some(input) }
    }
}

/// A dialogue and its progress. It ends when the emulator does.
#[derive(Debug)]
pub struct Script {
    steps: &'static [Step],
    /// The number of completed steps.
    done: usize,
    faults: FaultSearch,
    /// Further texts after which the boot cannot continue.
    fatal: &'static [&'static str],
}

impl Script {
    pub fn new(steps: &'static [Step]) -> Self {
        Self::with_fatal(steps, &[])
    }

    /// The dialogue `steps`, which the texts `fatal` end too.
    pub fn with_fatal(steps: &'static [Step], fatal: &'static [&'static str]) -> Self {
        Self { steps, done: 0, faults: FaultSearch::default(), fatal }
    }
}

impl Watch for Script {
    /// A fatal text stops the boot, also in a line that has not ended; a step is completed only by a whole line.
    fn receive(&mut self, received: Received) -> Reply {
        if self.faults.receive(received, self.fatal) {
            return Reply::Stop;
        }
        match (self.steps.get(self.done), received) {
            (Some(step), Received::Line(line)) if line.contains(step.awaited) => {
                self.done += 1;
                step.input.map_or(Reply::Wait, Reply::Send)
            }
            _ => Reply::Wait,
        }
    }

    fn awaited(&self) -> Option<String> {
        self.steps.get(self.done).map(|step| format!("\"{}\" on the console", step.awaited))
    }

    fn fault(&self) -> Option<String> {
        let reason = self.faults.reason()?;
        let before = self.steps.get(self.done).map(|step| format!(" before \"{}\"", step.awaited));
        Some(format!("{reason}{}", before.unwrap_or_default()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const STEPS: &[Step] = &[
        Step::wait_for("with extlinux"),
        Step::wait_for("Starting kernel"),
        Step::answer("demo: up", "reboot\n"),
    ];

    #[test]
    fn whole_lines_complete_the_steps_in_order() {
        let mut script = Script::new(STEPS);
        for (line, reply, next) in [
            ("demo: up", Reply::Wait, Some("with extlinux")),
            ("** Booting bootflow '<NULL>' with efi_mgr", Reply::Wait, Some("with extlinux")),
            ("** Booting bootflow 'virtio' with extlinux", Reply::Wait, Some("Starting kernel")),
            ("Starting kernel ...", Reply::Wait, Some("demo: up")),
            ("demo: up, boot 1 of this card", Reply::Send("reboot\n"), None),
            ("reboot: Restarting system", Reply::Wait, None),
        ] {
            assert_eq!(script.receive(Received::Partial(line)), Reply::Wait, "{line}");
            assert_eq!(script.receive(Received::Line(line)), reply, "{line}");
            let next = next.map(|text| format!("\"{text}\" on the console"));
            assert_eq!((script.awaited(), script.fault()), (next, None), "{line}");
        }
    }

    #[test]
    fn a_fatal_text_stops_the_dialogue() {
        let mut script = Script::with_fatal(STEPS, &["demo: failed"]);
        assert_eq!(script.receive(Received::Partial("demo: failed")), Reply::Stop);
        let expected = "the console printed \"demo: failed\" before \"with extlinux\"";
        assert_eq!(script.fault().as_deref(), Some(expected));
    }
}
