//! Runs one boot, and watches its serial console.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::escapes::without_escapes;
use super::machine::{PROGRAM, Setup};
use super::{programs, room};
use crate::base::failure::ExitKind;
use crate::base::process::{DialogueEnd, Launcher, Received, Reply};

/// The number of last lines of the console in the error of a failed boot.
const EXCERPT_LINES: usize = 15;

/// The most bytes of lines that are kept: a host can print without end.
const MAX_KEPT: usize = 16 << 20;

/// What a boot is watched for.
pub trait Watch {
    /// Takes a text of the console, without escape sequences, and returns the reply. An empty partial line comes at
    /// least every 100 ms. [`Reply::Stop`] ends the boot.
    fn receive(&mut self, received: Received) -> Reply;

    /// What the boot still lacks, such as `"demo: up" on the console`; `None` once it lacks nothing.
    fn awaited(&self) -> Option<String>;

    /// Why the boot was stopped as a failure; `None` where it was not.
    fn fault(&self) -> Option<String>;

    /// The remedy for a boot that failed.
    fn hint(&self, _lines: &[String]) -> Option<String> {
        None
    }
}

/// The record of a completed boot.
#[derive(Debug)]
pub struct BootRecord {
    /// The lines of the console, without escape sequences: all, or the last 16 MiB of them.
    pub lines: Vec<String>,
    /// The time from the start of the emulator to the last reply other than to wait, in seconds.
    pub seconds_until_up: f64,
}

/// Boots `setup` until `watch` stops it or the emulator ends by itself. `on_line` gets each line of the console at
/// once.
///
/// # Errors
/// A boot that fails or exceeds its time limit, with the last lines of the console, and `Other` for an emulator that
/// fails itself.
pub fn boot(
    launcher: &Launcher,
    setup: &Setup,
    watch: &mut impl Watch,
    mut on_line: impl FnMut(&str),
) -> Result<BootRecord> {
    let start = Instant::now();
    let mut kept = KeptLines::default();
    let mut seconds_until_up = 0.0;
    let mut full_folder = None;
    let end = launcher.converse(PROGRAM, &setup.args(), setup.limit, |received| {
        // Without room, QEMU stops the machine for ever.
        full_folder = room::full_folder(setup.drive_file());
        let Some(received) = Some(received).filter(|_| full_folder.is_none()) else { return Reply::Stop };
        let reply = match received {
            Received::Line(line) => {
                let line = without_escapes(line);
                on_line(&line);
                let reply = watch.receive(Received::Line(&line));
                kept.push(line, MAX_KEPT);
                reply
            }
            Received::Partial(text) => watch.receive(Received::Partial(&without_escapes(text))),
        };
        if reply != Reply::Wait {
            seconds_until_up = start.elapsed().as_secs_f64();
        }
        reply
    })?;
    let lines = Vec::from(kept.lines);
    if let Some(folder) = full_folder {
        return Err(room::error(folder));
    }
    match failure(watch, end, setup.limit) {
        None => Ok(BootRecord { lines, seconds_until_up }),
        Some((kind, reason)) => {
            // Only an emulator that fails itself can be too old.
            let launcher = (kind == ExitKind::Other).then_some(launcher);
            let hint = launcher.and_then(programs::old_version_hint).or_else(|| watch.hint(&lines));
            let excerpt = excerpt(lines);
            let text = format!("booting in {}: {reason}{excerpt}", setup.machine.name());
            Err(kind.error_with(text, hint, Vec::new()))
        }
    }
}

/// The last lines of a console.
#[derive(Default)]
struct KeptLines {
    lines: VecDeque<String>,
    /// The bytes of the lines, with those of the values that hold them.
    bytes: usize,
}

impl KeptLines {
    /// Adds `line`, and drops the first lines while all have more than `max` bytes.
    fn push(&mut self, line: String, max: usize) {
        let cost = |line: &String| line.len() + size_of::<String>();
        self.bytes += cost(&line);
        self.lines.push_back(line);
        while self.bytes > max {
            let Some(first) = self.lines.pop_front() else { break };
            self.bytes -= cost(&first);
        }
    }
}

/// The last of `lines` that are not blank, each behind a line break.
fn excerpt(mut lines: Vec<String>) -> String {
    lines.retain(|line| !line.trim().is_empty());
    let last = lines.split_off(lines.len().saturating_sub(EXCERPT_LINES));
    last.iter().map(|line| format!("\n  | {line}")).collect()
}

/// The kind of the failure of a boot that ended with `end`, and its reason; `None` for a good boot.
fn failure(watch: &impl Watch, end: DialogueEnd, limit: Duration) -> Option<(ExitKind, String)> {
    if let Some(fault) = watch.fault() {
        return Some((ExitKind::Verification, fault));
    }
    let awaited = watch.awaited();
    let before = awaited.as_ref().map(|awaited| format!(" before {awaited}")).unwrap_or_default();
    let limit = limit.as_secs();
    let (kind, reason) = match (awaited, end) {
        (None, DialogueEnd::Exited(0) | DialogueEnd::Stopped) => return None,
        (None, DialogueEnd::TimedOut) => {
            (ExitKind::Verification, format!("the host still runs after {limit} s"))
        }
        (Some(awaited), DialogueEnd::TimedOut) => {
            (ExitKind::Verification, format!("the boot lacks {awaited} after {limit} s"))
        }
        // The emulator ends at the first reboot, too.
        (Some(_), DialogueEnd::Exited(0)) => {
            (ExitKind::Verification, format!("the machine was switched off or rebooted{before}"))
        }
        (_, DialogueEnd::Exited(code)) => {
            (ExitKind::Other, format!("the emulator exited with code {code}{before}"))
        }
        (Some(_), DialogueEnd::Stopped) => (ExitKind::Verification, "the boot was stopped".to_owned()),
    };
    Some((kind, reason))
}

#[cfg(test)]
mod tests {
    use super::super::script::{Script, tests::STEPS};
    use super::*;

    /// The reason of the failure of a boot whose console printed `lines` before it ended with `end`.
    fn reason(lines: &[&str], end: DialogueEnd) -> Option<(ExitKind, String)> {
        let mut script = Script::new(STEPS);
        for line in lines {
            script.receive(Received::Line(line));
        }
        failure(&script, end, Duration::from_secs(300))
    }

    #[test]
    fn the_last_lines_of_an_endless_console_are_kept() {
        let mut kept = KeptLines::default();
        for number in 0..1000 {
            kept.push(format!("{number:06}"), 10 * (6 + size_of::<String>()));
        }
        assert_eq!(kept.lines, (990..1000).map(|number| format!("{number:06}")).collect::<VecDeque<_>>());
        kept.push("x".repeat(1000), 500);
        assert_eq!((kept.lines.len(), kept.bytes), (0, 0));
    }

    #[test]
    fn the_reason_of_a_failure_names_the_awaited_text() {
        let up = ["** Booting 'mmc' with extlinux", "Starting kernel ...", "demo: up"];
        assert_eq!(reason(&up, DialogueEnd::Exited(0)), None);
        let fatal = ["scanning", "(0 bootflows, 0 valid)"];
        for (lines, end, kind, expected) in [
            (&up[..], DialogueEnd::TimedOut, ExitKind::Verification, "the host still runs after 300 s"),
            (
                &up[..2],
                DialogueEnd::TimedOut,
                ExitKind::Verification,
                "the boot lacks \"demo: up\" on the console after 300 s",
            ),
            (
                &up[..1],
                DialogueEnd::Exited(1),
                ExitKind::Other,
                "the emulator exited with code 1 before \"Starting kernel\" on the console",
            ),
            (
                &up[..1],
                DialogueEnd::Exited(0),
                ExitKind::Verification,
                "the machine was switched off or rebooted before \"Starting kernel\" on the console",
            ),
            (
                &fatal,
                DialogueEnd::Stopped,
                ExitKind::Verification,
                "U-Boot found nothing to boot on the card: the console printed \"(0 bootflows, 0 valid)\" before \
                 \"with extlinux\"",
            ),
        ] {
            assert_eq!(reason(lines, end), Some((kind, expected.to_owned())));
        }
    }
}
