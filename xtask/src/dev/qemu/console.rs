//! One boot, followed on the serial console.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::machine::{PROGRAM, Setup};
use super::script::{Script, Step};
use crate::base::failure::ExitKind;
use crate::base::process::{DialogueEnd, Launcher, Received, Reply};

/// How many of the last lines are shown of a boot that failed.
const SHOWN: usize = 15;

/// A boot that came to its end.
#[derive(Debug)]
pub struct Booted {
    /// All lines of the console.
    pub lines: Vec<String>,
    /// From the start of the emulator to the last step, in seconds.
    pub up: f64,
}

/// Boots `setup` and goes through `steps`, until the emulated host ends itself. Each line goes to
/// `on_line` as it comes.
///
/// # Errors
/// A boot that fails or takes too long, with the last lines of the console; what is fatal ends it at once.
pub fn boot(
    launcher: &Launcher,
    setup: &Setup,
    steps: &'static [Step],
    mut on_line: impl FnMut(&str),
) -> Result<Booted> {
    let (start, limit) = (Instant::now(), setup.machine.limit());
    let (mut script, mut lines, mut up) = (Script::new(steps), Vec::new(), 0.0);
    let end = launcher.converse(PROGRAM, &setup.args(), limit, |heard| {
        if let Received::Line(line) = heard {
            let line = plain(line);
            on_line(&line);
            lines.push(line);
        }
        let reply = script.hear(heard);
        if matches!(reply, Reply::Send(_)) {
            up = start.elapsed().as_secs_f64();
        }
        reply
    })?;
    match failure(&script, end, limit) {
        None => Ok(Booted { lines, up }),
        Some(failure) => {
            let last = lines.split_off(lines.len().saturating_sub(SHOWN)).join("\n  | ");
            let machine = setup.machine.name();
            Err(ExitKind::Verification.error(format!("booting in {machine}: {failure}\n  | {last}")))
        }
    }
}

/// What is wrong with a boot that ended like this.
fn failure(script: &Script, end: DialogueEnd, limit: Duration) -> Option<String> {
    let awaited = script.awaits().map(|text| format!("before \"{text}\"")).unwrap_or_default();
    if let Some(fault) = &script.fault {
        return Some(format!("the console says \"{}\" {awaited}", plain(fault)));
    }
    match (script.awaits(), end) {
        (None, DialogueEnd::Exited(0)) => None,
        (None, DialogueEnd::TimedOut) => Some(format!("the host is still on after {} s", limit.as_secs())),
        (Some(text), DialogueEnd::TimedOut) => {
            Some(format!("no \"{text}\" on the console after {} s", limit.as_secs()))
        }
        (_, DialogueEnd::Exited(code)) => Some(format!("the emulator ended with exit code {code} {awaited}")),
        (_, DialogueEnd::Stopped) => Some("it was stopped".to_owned()),
    }
}

/// The line without what moves the cursor.
fn plain(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = match part.strip_prefix('[') {
            Some(part) => part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest),
            None => part.get(1..).unwrap_or_default(),
        };
        text + rest
    })
}

#[cfg(test)]
mod tests {
    use super::super::script::{FIRST, SECOND};
    use super::*;

    #[test]
    fn lines_without_the_moves_of_the_cursor() {
        for (line, expected) in [
            ("plain", "plain"),
            ("\x1b7\x1b[r\x1b[999;999H\x1b[6n\x1b8Cannot persist", "Cannot persist"),
            ("~ # \x1b[6nreboot", "~ # reboot"),
            ("\x1b[?25h", ""),
            ("\x1b", ""),
        ] {
            assert_eq!(plain(line), expected, "{line:?}");
        }
    }

    #[test]
    fn how_a_boot_fails() {
        let limit = Duration::from_secs(300);
        let past = |lines: &[&str]| {
            let mut script = Script::new(SECOND);
            for line in lines {
                script.hear(Received::Line(line));
            }
            script
        };
        let up = ["** Booting 'mmc' with extlinux", "Starting kernel ...", "demo: up"];
        assert_eq!(failure(&past(&up), DialogueEnd::Exited(0), limit), None);
        for (lines, end, expected) in [
            (&up[..], DialogueEnd::TimedOut, "the host is still on after 300 s"),
            (&up[..2], DialogueEnd::TimedOut, "no \"demo: up\" on the console after 300 s"),
            (
                &up[..1],
                DialogueEnd::Exited(1),
                "the emulator ended with exit code 1 before \"Starting kernel\"",
            ),
            (
                &["scanning", "(0 bootflows, 0 valid)"],
                DialogueEnd::Stopped,
                "the console says \"(0 bootflows, 0 valid)\" before \"with extlinux\"",
            ),
        ] {
            assert_eq!(failure(&past(lines), end, limit).as_deref(), Some(expected));
        }
        assert_eq!(
            failure(&Script::new(FIRST), DialogueEnd::Exited(0), limit).unwrap(),
            "the emulator ended with exit code 0 before \"with extlinux\""
        );
    }
}
