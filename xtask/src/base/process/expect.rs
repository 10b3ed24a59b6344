//! A child is listened to and answered, until it ends, is told to, or has had its time.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::{PipeWriter, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::stream::{LONGEST_LINE, STOP_INTERVAL, ask_to_stop, for_each_line};
use super::{Launcher, Output};
use crate::base::failure::ExitKind;
use crate::base::interrupt;

/// Something that a child said on its stdout or its stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    Line(&'a str),
    /// What there is of a line that has not ended, such as a prompt. It may be heard again.
    Begun(&'a str),
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Wait,
    /// Goes to the stdin of the child as it is.
    Say(&'static str),
    /// The child is asked to stop, and nothing more is listened to.
    Stop,
}

/// How a child ended that was listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Own(i32),
    /// It was told to.
    Stopped,
    /// Its time was over.
    Late,
}

impl Launcher {
    /// Runs a command for at most `limit`; all that it says goes to `listen`, whose replies go to its stdin.
    /// Where the user asks to stop, the command is asked too and waited for; the error is then of
    /// [`ExitKind::Interrupted`].
    pub fn converse<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        limit: Duration,
        listen: impl FnMut(Heard) -> Reply,
    ) -> Result<End> {
        let hold = interrupt::guard()?;
        let (stdin, feed) = std::io::pipe().context("making a pipe")?;
        let (lines, sink) = std::io::pipe().context("making a pipe")?;
        let command = self.duct(program, args).stdin_file(stdin).stdout_to_stderr().stderr_file(sink);
        let child = command.start().with_context(|| format!("running {program}"))?;
        drop(command);
        let ends = Instant::now() + limit;
        let talk = RefCell::new(Dialogue { listen, feed, over: None, asked: None });
        let mut on_wait = |begun: &[u8]| {
            let mut talk = talk.borrow_mut();
            talk.hear(Heard::Begun(&String::from_utf8_lossy(begun)));
            talk.end_where_due(&child, hold.requested(), ends);
        };
        let mut on_line = |line: &str| talk.borrow_mut().hear(Heard::Line(line));
        let read = for_each_line(&lines, LONGEST_LINE, &mut on_wait, &mut on_line);
        read.with_context(|| format!("reading the messages of {program}"))?;
        let raw = child.into_output().with_context(|| format!("waiting for {program}"))?;
        if hold.requested() {
            return Err(ExitKind::Interrupted.error(format!("{program} was stopped")));
        }
        Ok(talk.into_inner().over.unwrap_or(End::Own(Output::from(raw).code)))
    }
}

struct Dialogue<L> {
    listen: L,
    feed: PipeWriter,
    /// Nothing more is listened to.
    over: Option<End>,
    asked: Option<Instant>,
}

impl<L: FnMut(Heard) -> Reply> Dialogue<L> {
    fn hear(&mut self, heard: Heard) {
        if self.over.is_some() || heard == Heard::Begun("") {
            return;
        }
        match (self.listen)(heard) {
            Reply::Wait => {}
            // A child that has ended already says more by its exit code than this error would.
            Reply::Say(text) => drop(self.feed.write_all(text.as_bytes())),
            Reply::Stop => self.over = Some(End::Stopped),
        }
    }

    fn end_where_due(&mut self, child: &duct::Handle, requested: bool, ends: Instant) {
        if self.over.is_none() && Instant::now() > ends {
            self.over = Some(End::Late);
        }
        let due = requested || self.over.is_some();
        if due && self.asked.is_none_or(|at| at.elapsed() > STOP_INTERVAL) {
            ask_to_stop(child);
            self.asked = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script, which hears `yes` where it says `?`.
    fn attended(script: &str, limit: Duration) -> (End, Vec<String>) {
        let mut heard = Vec::new();
        let end = Launcher::new("/").converse("sh", &["-c", script], limit, |it| match it {
            Heard::Begun("name? ") if heard.is_empty() => {
                heard.push("asked".to_owned());
                Reply::Say("yes\n")
            }
            Heard::Begun(_) => Reply::Wait,
            Heard::Line(line) => {
                heard.push(line.to_owned());
                if line == "stop" { Reply::Stop } else { Reply::Wait }
            }
        });
        (end.unwrap(), heard)
    }

    #[test]
    fn how_a_talk_ends() {
        let long = Duration::from_secs(60);
        let asks = "printf 'name? '; read -r word; echo; echo \"$word\" >&2; exit 3";
        let (end, heard) = attended(asks, long);
        assert_eq!(
            (end, &heard[..]),
            (End::Own(3), &["asked".into(), "name? ".into(), "yes".to_owned()][..])
        );
        let (end, heard) = attended("echo stop; exec sleep 60", long);
        assert_eq!((end, &heard[..]), (End::Stopped, &["stop".to_owned()][..]));
        assert_eq!(attended("exec sleep 60", Duration::from_millis(50)), (End::Late, vec![]));
    }
}
