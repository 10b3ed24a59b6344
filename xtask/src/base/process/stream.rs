//! Reads the output of a child line by line and forwards stop requests to it.

use std::io::{PipeReader, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::{Launcher, Output, TimedOut, delegate};
use crate::bail;
use crate::base::interrupt::{self, SignalGuard};

/// The interval between two interrupts of a child: Nix 2.34 misses an interrupt that arrives just before Nix sleeps.
pub const STOP_INTERVAL: Duration = Duration::from_secs(1);

/// The time after which a child that can be cut off is killed: Nix checks for interrupts only between the steps of an
/// evaluation, and a step may never end.
pub const KILL_AFTER: Duration = Duration::from_secs(5);

/// The interval between two checks for a stop request while a child is silent.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Starts `command`, passes each line of its stderr to `on_line` and waits for its end. If the user asks to stop, the
/// child is interrupted too and waited for.
///
/// # Errors
/// `ExitKind::Interrupted` where the user asked to stop, and [`TimedOut`] for a child that failed after its limit.
pub fn follow(
    launcher: &Launcher,
    program: &str,
    command: &duct::Expression,
    on_stop: OnStop,
    mut on_line: impl FnMut(&str),
) -> Result<Output> {
    let signals = interrupt::guard()?;
    let (lines, sink) = std::io::pipe().context("making a pipe")?;
    // The temporary expression, which owns the writing end of the pipe, ends with this statement, so that the reader
    // finds the end.
    let child = launcher.started(program, command.stderr_file(sink).start())?;
    let mut stop = StopForwarder { on_stop, ..StopForwarder::new(&child, &signals) };
    let read = for_each_line(&lines, MAX_LINE, &mut |_| stop.forward(), &mut on_line);
    read.with_context(|| format!("reading the output of {program}"))?;
    // A child can close its stderr and go on.
    delegate::wait(&child, || stop.forward()).with_context(|| format!("waiting for {program}"))?;
    let was_late = stop.was_late;
    let raw = child.into_output().with_context(|| format!("waiting for {program}"))?;
    if signals.is_stop_requested() {
        bail!(Interrupted, "{program} was stopped");
    }
    let output = Output::from(raw);
    if was_late && !output.success() {
        return Err(TimedOut.into());
    }
    Ok(output)
}

/// The treatment of a child that ignores stop requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// The child is interrupted until it ends: its work must not be cut off.
    Ask,
    /// The child is interrupted, and killed after [`KILL_AFTER`]. At the limit it is stopped as if the user had asked.
    AskThenKill { limit: Option<Duration> },
}

/// Forwards the user's stop request to a child.
pub struct StopForwarder<'a> {
    child: &'a duct::Handle,
    signals: &'a SignalGuard,
    on_stop: OnStop,
    started: Instant,
    /// Whether the child exceeded its limit.
    was_late: bool,
    first_interrupt: Option<Instant>,
    last_interrupt: Option<Instant>,
}

impl<'a> StopForwarder<'a> {
    pub fn new(child: &'a duct::Handle, signals: &'a SignalGuard) -> Self {
        Self {
            child,
            signals,
            on_stop: OnStop::Ask,
            started: Instant::now(),
            was_late: false,
            first_interrupt: None,
            last_interrupt: None,
        }
    }

    /// Interrupts the child if the user asked to stop or the child exceeds its limit, and again after each
    /// [`STOP_INTERVAL`]. Kills the child instead where `on_stop` says so.
    pub fn forward(&mut self) {
        let limit = match self.on_stop {
            OnStop::AskThenKill { limit } => limit,
            OnStop::Ask => None,
        };
        self.was_late |= limit.is_some_and(|limit| self.started.elapsed() > limit);
        let must_stop = self.was_late || self.signals.is_stop_requested();
        if must_stop && self.last_interrupt.is_none_or(|at| at.elapsed() > STOP_INTERVAL) {
            let first = *self.first_interrupt.get_or_insert_with(Instant::now);
            let may_kill = matches!(self.on_stop, OnStop::AskThenKill { .. });
            let must_kill = may_kill && first.elapsed() > KILL_AFTER;
            send_signal(self.child, if must_kill { Signal::KILL } else { Signal::INT });
            self.last_interrupt = Some(Instant::now());
        }
    }
}

/// Sends `signal` to all processes of `child`, which may be a pipeline and need not be in the process group of the
/// terminal.
pub fn send_signal(child: &duct::Handle, signal: Signal) {
    let pids = child.pids().into_iter().filter_map(|pid| Pid::from_raw(pid.try_into().ok()?));
    for pid in pids {
        // The process may have ended by itself in between.
        let _ = kill_process(pid, signal);
    }
}

/// The maximum length of a line of a child, in bytes. The rest of a longer line is read and dropped: a line without end
/// would fill the memory.
pub const MAX_LINE: usize = 1 << 20;

/// The mark at the end of a line that was cut.
const CUT_MARK: &str = " [cut]";

/// Passes each line of `source`, without its line end, to `on_line`, until `source` ends. Before each wait for more, at
/// least every [`POLL_INTERVAL`], calls `on_wait` with the line that has begun. Bytes that are not UTF-8 are replaced.
/// A line of more than `max_line` bytes is cut and ends in [`CUT_MARK`]; for a cut line, `on_wait` gets no bytes.
pub fn for_each_line(
    mut source: &PipeReader,
    max_line: usize,
    on_wait: &mut impl FnMut(&[u8]),
    on_line: &mut impl FnMut(&str),
) -> std::io::Result<()> {
    let mut line = Line::default();
    let mut buffer = [0; 8192];
    loop {
        on_wait(if line.is_cut { &[] } else { &line.bytes });
        if !wait_for_output(source)? {
            continue;
        }
        let count = source.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        for part in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            line.append(part, max_line, on_line);
        }
    }
    if !line.bytes.is_empty() {
        line.end(on_line);
    }
    Ok(())
}

/// The line that is being read. Each byte is processed once, however long the line is.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Line {
    /// Appends `part` of the line, up to `max_line` bytes. Where the part ends in a line break, the line ends.
    fn append(&mut self, part: &[u8], max_line: usize, on_line: &mut impl FnMut(&str)) {
        let text = part.strip_suffix(b"\n").unwrap_or(part);
        let kept = text.len().min(max_line - self.bytes.len());
        self.bytes.extend_from_slice(&text[..kept]);
        self.is_cut |= kept < text.len();
        if text.len() < part.len() {
            self.end(on_line);
        }
    }

    /// Passes the line to `on_line`, and begins the next one.
    fn end(&mut self, on_line: &mut impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.bytes);
        let text = text.trim_end_matches('\r');
        if self.is_cut {
            on_line(&format!("{text}{CUT_MARK}"));
        } else {
            on_line(text);
        }
        self.bytes.clear();
        self.is_cut = false;
    }
}

/// Waits until `source` is readable or at its end, at most for [`POLL_INTERVAL`]. Returns whether it is. A signal ends
/// the wait.
fn wait_for_output(source: &PipeReader) -> std::io::Result<bool> {
    let tick = Timespec { tv_sec: 0, tv_nsec: POLL_INTERVAL.subsec_nanos().into() };
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
    fn lines_are_whole_and_waits_for_more_are_reported() {
        let (source, mut sink) = std::io::pipe().unwrap();
        let writer = std::thread::spawn(move || {
            for part in [&b"one\ntw"[..], b"o\r\n", b"\n\xff\nthe e", b"nd"] {
                sink.write_all(part).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut lines = Vec::new();
        let mut waits = 0;
        for_each_line(&source, MAX_LINE, &mut |_| waits += 1, &mut |line| lines.push(line.to_owned()))
            .unwrap();
        writer.join().unwrap();
        assert_eq!(lines, ["one", "two", "", "\u{fffd}", "the end"]);
        assert!(waits > 0);
    }

    #[test]
    fn a_long_line_is_cut_in_little_time() {
        let (source, mut sink) = std::io::pipe().unwrap();
        let writer = std::thread::spawn(move || {
            for _ in 0..4096 {
                sink.write_all(&[b'x'; 8192]).unwrap();
            }
            sink.write_all(b"\nnext\n").unwrap();
        });
        let began = Instant::now();
        let mut lines = Vec::new();
        for_each_line(&source, MAX_LINE, &mut |_| {}, &mut |line| lines.push(line.to_owned())).unwrap();
        writer.join().unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].len(), lines[0].ends_with(CUT_MARK)), (MAX_LINE + CUT_MARK.len(), true));
        assert_eq!(lines[1], "next");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
