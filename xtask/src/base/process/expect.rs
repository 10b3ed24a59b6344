//! Dialogues with a child, like those of expect(1): the caller answers the text of the child, until the child ends, is
//! stopped or exceeds its time limit.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::{PipeWriter, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::stream::{KILL_AFTER, MAX_LINE, STOP_INTERVAL, for_each_line, send_signal};
use super::{Launcher, Output, delegate};
use crate::bail;
use crate::base::interrupt;

/// Text of a child on its stdout or its stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    Line(&'a str),
    /// The beginning of a line that has not ended, such as a prompt; empty where no line has begun. It is received
    /// again at least every 100 ms while the child prints nothing.
    Partial(&'a str),
}

/// The reaction to a received text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Wait,
    /// Writes the text to the stdin of the child.
    Send(&'static str),
    /// Interrupts the child; its further output is ignored.
    Stop,
}

/// How a dialogue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogueEnd {
    /// The child ended by itself, with this exit code.
    Exited(i32),
    /// A reply stopped the child.
    Stopped,
    /// The time limit was exceeded.
    TimedOut,
}

impl Launcher {
    /// Runs a command for at most `limit`. `reply` gets the output of the command and answers it. If the user asks to
    /// stop, the command is interrupted too and waited for; the error is then `ExitKind::Interrupted`. A command that
    /// ignores interrupts is killed after some seconds, and each dies with this process.
    pub fn converse<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        limit: Duration,
        reply: impl FnMut(Received) -> Reply,
    ) -> Result<DialogueEnd> {
        let signals = interrupt::guard()?;
        let observed = self.observe(program, args);
        let (stdin, feed) = std::io::pipe().context("making a pipe")?;
        let (lines, sink) = std::io::pipe().context("making a pipe")?;
        let command =
            self.mortal_command(program, args).stdin_file(stdin).stdout_to_stderr().stderr_file(sink);
        let child = self.started(program, command.start())?;
        drop(command);
        let deadline = Instant::now() + limit;
        let dialogue =
            RefCell::new(Dialogue { reply, feed, end: None, first_interrupt: None, last_interrupt: None });
        let mut on_wait = |partial: &[u8]| {
            let mut dialogue = dialogue.borrow_mut();
            dialogue.receive(Received::Partial(&String::from_utf8_lossy(partial)));
            dialogue.interrupt_if_due(&child, signals.is_stop_requested(), deadline);
        };
        let mut on_line = |line: &str| dialogue.borrow_mut().receive(Received::Line(line));
        let read = for_each_line(&lines, MAX_LINE, &mut on_wait, &mut on_line);
        read.with_context(|| format!("reading the output of {program}"))?;
        let waiting = || format!("waiting for {program}");
        // A child can close its outputs and go on.
        let interrupt_if_due = || {
            dialogue.borrow_mut().interrupt_if_due(&child, signals.is_stop_requested(), deadline);
        };
        delegate::wait(&child, interrupt_if_due).with_context(waiting)?;
        let raw = child.into_output().with_context(waiting)?;
        let code = Output::from(raw).code;
        observed.end(code);
        if signals.is_stop_requested() {
            bail!(Interrupted, "{program} was stopped");
        }
        Ok(dialogue.into_inner().end.unwrap_or(DialogueEnd::Exited(code)))
    }
}

/// The state of a dialogue.
struct Dialogue<F> {
    reply: F,
    /// The writing end of the child's stdin.
    feed: PipeWriter,
    /// How the dialogue ended; `None` until then. After the end, output is ignored.
    end: Option<DialogueEnd>,
    first_interrupt: Option<Instant>,
    last_interrupt: Option<Instant>,
}

impl<F: FnMut(Received) -> Reply> Dialogue<F> {
    /// Answers `received`, if the dialogue has not ended.
    fn receive(&mut self, received: Received) {
        if self.end.is_some() {
            return;
        }
        match (self.reply)(received) {
            Reply::Wait => {}
            // Of a child that has already ended, the exit code is more informative than this error.
            Reply::Send(text) => drop(self.feed.write_all(text.as_bytes())),
            Reply::Stop => self.end = Some(DialogueEnd::Stopped),
        }
    }

    /// Ends the dialogue after `deadline`. Interrupts `child` as soon as the dialogue has ended or a stop is requested,
    /// and again after each [`STOP_INTERVAL`]; kills it after [`KILL_AFTER`].
    fn interrupt_if_due(&mut self, child: &duct::Handle, is_stop_requested: bool, deadline: Instant) {
        if self.end.is_none() && Instant::now() > deadline {
            self.end = Some(DialogueEnd::TimedOut);
        }
        let must_stop = is_stop_requested || self.end.is_some();
        if must_stop && self.last_interrupt.is_none_or(|at| at.elapsed() > STOP_INTERVAL) {
            let first = *self.first_interrupt.get_or_insert_with(Instant::now);
            send_signal(child, if first.elapsed() > KILL_AFTER { Signal::KILL } else { Signal::INT });
            self.last_interrupt = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script, answers its first prompt `name? ` by `yes`, and stops the script at its line `stop`. Returns how
    /// the dialogue ended, and its lines with `asked` for the prompt.
    fn run_dialogue(script: &str, limit: Duration) -> (DialogueEnd, Vec<String>) {
        let mut lines = Vec::new();
        let end = Launcher::new("/").converse("sh", &["-c", script], limit, |received| match received {
            Received::Partial("name? ") if lines.is_empty() => {
                lines.push("asked".to_owned());
                Reply::Send("yes\n")
            }
            Received::Partial(_) => Reply::Wait,
            Received::Line(line) => {
                lines.push(line.to_owned());
                if line == "stop" { Reply::Stop } else { Reply::Wait }
            }
        });
        (end.unwrap(), lines)
    }

    #[test]
    fn a_reply_may_stop_a_silent_child() {
        let mut count = 0;
        let end = Launcher::new("/").converse("sleep", &["60"], Duration::from_secs(60), |received| {
            assert_eq!(received, Received::Partial(""));
            count += 1;
            if count > 2 { Reply::Stop } else { Reply::Wait }
        });
        assert_eq!(end.unwrap(), DialogueEnd::Stopped);
    }

    #[test]
    fn a_dialogue_ends_by_itself_by_a_reply_or_by_its_time_limit() {
        let long = Duration::from_secs(60);
        let asks = "printf 'name? '; read -r word; echo; echo \"$word\" >&2; exit 3";
        let (end, lines) = run_dialogue(asks, long);
        assert_eq!(
            (end, &lines[..]),
            (DialogueEnd::Exited(3), &["asked".into(), "name? ".into(), "yes".to_owned()][..])
        );
        let (end, lines) = run_dialogue("echo stop; exec sleep 60", long);
        assert_eq!((end, &lines[..]), (DialogueEnd::Stopped, &["stop".to_owned()][..]));
        // The last one ends only by being killed.
        for script in ["exec sleep 60", "exec >&- 2>&-; exec sleep 60", "trap '' INT; exec sleep 60"] {
            let (end, lines) = run_dialogue(script, Duration::from_millis(50));
            assert_eq!((end, lines), (DialogueEnd::TimedOut, vec![]), "{script}");
        }
    }
}
