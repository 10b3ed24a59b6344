//! A child is followed line by line, and a request to stop is passed on to it.

use std::io::{PipeReader, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::Output;
use crate::base::failure::ExitKind;
use crate::base::interrupt::{self, SignalGuard};

/// How long a child that was asked to stop is waited for before it is asked again: Nix 2.34 misses an
/// interrupt that comes just as it goes to sleep.
pub const STOP_INTERVAL: Duration = Duration::from_secs(1);

/// How long a child that loses nothing by it is asked before it is killed: Nix looks for an interrupt between steps of an
/// evaluation, and one step can take for ever.
const KILL_AFTER: Duration = Duration::from_secs(5);

/// How long nothing else is looked after while a child is silent.
const TICK: Duration = Duration::from_millis(100);

/// Starts `command`, hands each line of its stderr to `on_line` and waits for its end. If the user asks
/// to stop, the child is asked too and waited for; the error is then of [`ExitKind::Interrupted`].
pub fn follow(
    program: &str,
    command: &duct::Expression,
    deaf: Deaf,
    mut on_line: impl FnMut(&str),
) -> Result<Output> {
    let hold = interrupt::guard()?;
    let (lines, sink) = std::io::pipe().context("making a pipe")?;
    // The expression holds the writing end of the pipe: it must be gone before the reader sees the end.
    let child = command.stderr_file(sink).start().with_context(|| format!("running {program}"))?;
    let mut stop = Stop { deaf, ..Stop::new(&child, &hold) };
    let read = for_each_line(&lines, LONGEST_LINE, &mut |_| stop.pass_on(), &mut on_line);
    read.with_context(|| format!("reading the messages of {program}"))?;
    let raw = child.into_output().with_context(|| format!("waiting for {program}"))?;
    if hold.requested() {
        return Err(ExitKind::Interrupted.error(format!("{program} was stopped")));
    }
    Ok(Output::from(raw))
}

/// What becomes of a child that takes no notice of a request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deaf {
    /// It is asked until it ends: what it does must not be cut off.
    Asked,
    /// It is killed after [`KILL_AFTER`].
    Killed,
}

/// The user's request to stop, on its way to a child.
pub struct Stop<'a> {
    child: &'a duct::Handle,
    hold: &'a SignalGuard,
    deaf: Deaf,
    first: Option<Instant>,
    asked: Option<Instant>,
}

impl<'a> Stop<'a> {
    pub fn new(child: &'a duct::Handle, hold: &'a SignalGuard) -> Self {
        Self { child, hold, deaf: Deaf::Asked, first: None, asked: None }
    }

    /// Asks the child to stop if the user did, and again when it takes no notice.
    pub fn pass_on(&mut self) {
        if self.hold.requested() && self.asked.is_none_or(|at| at.elapsed() > STOP_INTERVAL) {
            let first = *self.first.get_or_insert_with(Instant::now);
            let killed = self.deaf == Deaf::Killed && first.elapsed() > KILL_AFTER;
            send(self.child, if killed { Signal::KILL } else { Signal::INT });
            self.asked = Some(Instant::now());
        }
    }
}

/// Sends the interrupt of a terminal to `child`, which need not be in the terminal's process group.
pub fn ask_to_stop(child: &duct::Handle) {
    send(child, Signal::INT);
}

fn send(child: &duct::Handle, signal: Signal) {
    let pids = child.pids().into_iter().filter_map(|pid| Pid::from_raw(pid.try_into().ok()?));
    for pid in pids {
        // It may have ended by itself in between.
        let _ = kill_process(pid, signal);
    }
}

/// How many bytes of a line are kept of what a child says. The rest of a longer line is read and dropped, or a child that
/// never ends its line would fill the memory.
pub const LONGEST_LINE: usize = 1 << 20;

/// Stands at the end of a line that was cut.
const CUT: &str = " [cut]";

/// Hands each line of `source` to `on_line` until its end, and calls `on_wait` with what there is of the next
/// line before each wait for more. Bytes that are no UTF-8 are replaced. A line of more than `longest` bytes
/// is cut and ends in [`CUT`]; once it is cut, `on_wait` gets nothing of it.
pub fn for_each_line(
    mut source: &PipeReader,
    longest: usize,
    on_wait: &mut impl FnMut(&[u8]),
    on_line: &mut impl FnMut(&str),
) -> std::io::Result<()> {
    let (mut line, mut chunk) = (Line::default(), [0; 8192]);
    loop {
        on_wait(if line.cut { &[] } else { &line.begun });
        if !readable(source)? {
            continue;
        }
        let count = source.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        for part in chunk[..count].split_inclusive(|byte| *byte == b'\n') {
            line.take(part, longest, on_line);
        }
    }
    if !line.begun.is_empty() {
        line.end(on_line);
    }
    Ok(())
}

/// The line that is being read. Each byte is looked at once, however long the line is.
#[derive(Default)]
struct Line {
    begun: Vec<u8>,
    cut: bool,
}

impl Line {
    /// Takes a part of one line, which may be its end.
    fn take(&mut self, part: &[u8], longest: usize, on_line: &mut impl FnMut(&str)) {
        let text = part.strip_suffix(b"\n").unwrap_or(part);
        let kept = text.len().min(longest - self.begun.len());
        self.begun.extend_from_slice(&text[..kept]);
        self.cut |= kept < text.len();
        if text.len() < part.len() {
            self.end(on_line);
        }
    }

    fn end(&mut self, on_line: &mut impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.begun);
        let text = text.trim_end_matches('\r');
        if self.cut {
            on_line(&format!("{text}{CUT}"));
        } else {
            on_line(text);
        }
        self.begun.clear();
        self.cut = false;
    }
}

/// Whether there is something to read, or the end, within [`TICK`]. A signal ends the wait.
fn readable(source: &PipeReader) -> std::io::Result<bool> {
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    match poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&tick)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_come_whole_however_they_are_written() {
        let (source, mut sink) = std::io::pipe().unwrap();
        let writer = std::thread::spawn(move || {
            for part in [&b"one\ntw"[..], b"o\r\n", b"\n\xff\nthe e", b"nd"] {
                sink.write_all(part).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let (mut lines, mut waits) = (Vec::new(), 0);
        for_each_line(&source, LONGEST_LINE, &mut |_| waits += 1, &mut |line| lines.push(line.to_owned()))
            .unwrap();
        writer.join().unwrap();
        assert_eq!(lines, ["one", "two", "", "\u{fffd}", "the end"]);
        assert!(waits > 0);
    }

    #[test]
    fn a_line_without_an_end_costs_little() {
        let (source, mut sink) = std::io::pipe().unwrap();
        let writer = std::thread::spawn(move || {
            for _ in 0..4096 {
                sink.write_all(&[b'x'; 8192]).unwrap();
            }
            sink.write_all(b"\nnext\n").unwrap();
        });
        let (began, mut lines) = (Instant::now(), Vec::new());
        for_each_line(&source, LONGEST_LINE, &mut |_| {}, &mut |line| lines.push(line.to_owned())).unwrap();
        writer.join().unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].len(), lines[0].ends_with(CUT)), (LONGEST_LINE + CUT.len(), true));
        assert_eq!(lines[1], "next");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
