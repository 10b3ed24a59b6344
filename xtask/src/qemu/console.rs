//! Runs one boot with a dialogue on the serial console.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::machine::{PROGRAM, Setup};
use super::script::{Script, Step};
use crate::bail;
use crate::base::process::{DialogueEnd, Launcher, Received, Reply};

/// The number of last lines of the console in the error of a failed boot.
const EXCERPT_LINES: usize = 15;

/// The record of a completed boot.
#[derive(Debug)]
pub struct BootRecord {
    /// All lines of the console, without escape sequences.
    pub lines: Vec<String>,
    /// The time from the start of the emulator to the last typed input, in seconds.
    pub seconds_until_up: f64,
}

/// Boots `setup` and follows `steps` until the emulator ends by itself. `on_line` gets each line of the console at
/// once.
///
/// # Errors
/// A boot that fails or exceeds the time limit, with the last lines of the console. A fatal line ends the boot at
/// once.
pub fn boot(
    launcher: &Launcher,
    setup: &Setup,
    steps: &'static [Step],
    mut on_line: impl FnMut(&str),
) -> Result<BootRecord> {
    let start = Instant::now();
    let limit = setup.machine.time_limit();
    let mut script = Script::new(steps);
    let mut lines = Vec::new();
    let mut seconds_until_up = 0.0;
    let end = launcher.converse(PROGRAM, &setup.args(), limit, |received| {
        if let Received::Line(line) = received {
            let line = without_escapes(line);
            on_line(&line);
            lines.push(line);
        }
        let reply = script.receive(received);
        if matches!(reply, Reply::Send(_)) {
            seconds_until_up = start.elapsed().as_secs_f64();
        }
        reply
    })?;
    match failure_reason(&script, end, limit) {
        None => Ok(BootRecord { lines, seconds_until_up }),
        Some(reason) => {
            let last_lines = lines.split_off(lines.len().saturating_sub(EXCERPT_LINES)).join("\n  | ");
            let machine = setup.machine.name();
            bail!(Verification, "booting in {machine}: {reason}\n  | {last_lines}")
        }
    }
}

/// Why a boot that ended with `end` failed; `None` for a good boot.
fn failure_reason(script: &Script, end: DialogueEnd, limit: Duration) -> Option<String> {
    let before = script.awaited().map(|text| format!(" before \"{text}\"")).unwrap_or_default();
    if let Some(fatal_line) = &script.fatal_line {
        return Some(format!("the console printed \"{}\"{before}", without_escapes(fatal_line)));
    }
    match (script.awaited(), end) {
        (None, DialogueEnd::Exited(0)) => None,
        (None, DialogueEnd::TimedOut) => Some(format!("the host still runs after {} s", limit.as_secs())),
        (Some(text), DialogueEnd::TimedOut) => {
            Some(format!("no \"{text}\" on the console after {} s", limit.as_secs()))
        }
        (_, DialogueEnd::Exited(code)) => Some(format!("the emulator exited with code {code}{before}")),
        (_, DialogueEnd::Stopped) => Some("the boot was stopped".to_owned()),
    }
}

/// Removes the escape sequences of a terminal from `line`.
fn without_escapes(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A sequence that begins with `[` ends with a letter; any other has one character.
        let after_sequence = match part.strip_prefix('[') {
            Some(part) => part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest),
            None => part.get(1..).unwrap_or_default(),
        };
        text.push_str(after_sequence);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::script::{FIRST_BOOT, LATER_BOOT};
    use super::*;

    #[test]
    fn escape_sequences_are_removed() {
        for (line, expected) in [
            ("plain", "plain"),
            ("\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8Cannot persist", "Cannot persist"),
            ("~ # \x1b[6nreboot", "~ # reboot"),
            ("\x1b[?25h", ""),
            ("\x1b", ""),
        ] {
            assert_eq!(without_escapes(line), expected, "{line:?}");
        }
    }

    #[test]
    fn the_reason_of_a_failure_names_the_awaited_text() {
        let limit = Duration::from_secs(300);
        let script_after = |lines: &[&str]| {
            let mut script = Script::new(LATER_BOOT);
            for line in lines {
                script.receive(Received::Line(line));
            }
            script
        };
        let up = ["** Booting 'mmc' with extlinux", "Starting kernel ...", "demo: up"];
        assert_eq!(failure_reason(&script_after(&up), DialogueEnd::Exited(0), limit), None);
        for (lines, end, expected) in [
            (&up[..], DialogueEnd::TimedOut, "the host still runs after 300 s"),
            (&up[..2], DialogueEnd::TimedOut, "no \"demo: up\" on the console after 300 s"),
            (&up[..1], DialogueEnd::Exited(1), "the emulator exited with code 1 before \"Starting kernel\""),
            (
                &["scanning", "(0 bootflows, 0 valid)"],
                DialogueEnd::Stopped,
                "the console printed \"(0 bootflows, 0 valid)\" before \"with extlinux\"",
            ),
        ] {
            assert_eq!(failure_reason(&script_after(lines), end, limit).as_deref(), Some(expected));
        }
        assert_eq!(
            failure_reason(&Script::new(FIRST_BOOT), DialogueEnd::Exited(0), limit).unwrap(),
            "the emulator exited with code 0 before \"with extlinux\""
        );
    }
}
