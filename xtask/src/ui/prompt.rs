//! Questions to the user, on the terminal.

use std::io::{BufRead, IsTerminal, Stderr, Write};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};

use super::filter;
use super::style::{Role, Stream};
use crate::bail;
use crate::base::failure::ExitKind;
use crate::base::interrupt::{self, SignalGuard};
use crate::base::{Approver, Question, escape};

/// Whether a user can answer a question: both stdin and stderr are a terminal.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A question on the terminal. The text goes to stderr; stdout is for the result.
pub struct Prompt<'a> {
    /// What the answer decides, on the lines before the question; may be empty.
    pub notice: &'a str,
    /// The question, on one line.
    pub question: &'a str,
    /// The error where the user presses Ctrl-C instead of answering: what was changed until then.
    pub unanswered: &'a str,
}

impl Prompt<'_> {
    /// Asks once, and returns the answer without blanks around it: an empty string where the input ends. Keys that were
    /// pressed before the question are discarded.
    ///
    /// # Errors
    /// [`ExitKind::Interrupted`] where the user presses Ctrl-C.
    pub fn ask(&self) -> Result<String> {
        self.ask_in(None)
    }

    /// Like [`Self::ask`], where the notice names what will be lost.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn ask_before_loss(&self) -> Result<String> {
        self.ask_in(Some(Role::Loss))
    }

    /// Asks once, with the notice in `role`.
    fn ask_in(&self, role: Option<Role>) -> Result<String> {
        let line = self.ask_line(role)?;
        if !line.ends_with('\n') {
            // The input ended (Ctrl-D).
            end_line(&mut std::io::stderr());
        }
        Ok(line.trim().to_owned())
    }

    /// Asks once, and returns the line with its end.
    fn ask_line(&self, role: Option<Role>) -> Result<String> {
        let signals = interrupt::guard()?;
        filter::show_hidden();
        let mut stderr = std::io::stderr();
        discard_typed_ahead().context("discarding what was typed before the question")?;
        write!(stderr, "{} ", self.shown(role))
            .and_then(|()| stderr.flush())
            .context("asking on the terminal")?;
        if !wait_for_answer(&signals).context("waiting for the answer from the terminal")? {
            end_line(&mut stderr);
            return Err(ExitKind::Interrupted.error(self.unanswered));
        }
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("reading the answer from the terminal")?;
        Ok(line)
    }

    /// Asks like [`Self::ask`], for an answer that the terminal does not show. Blanks around it are kept.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn ask_secret(&self) -> Result<String> {
        // A signal must not end the tool while the terminal is silent.
        let _signals = interrupt::guard()?;
        let echo = EchoOff::new().context("asking on the terminal")?;
        let answer = self.ask_line(None);
        drop(echo);
        // The terminal did not show the Enter of the user.
        end_line(&mut std::io::stderr());
        Ok(answer?.trim_end_matches(['\n', '\r']).to_owned())
    }

    /// Asks twice for a new secret, called `noun`, so that a slip is found. Between the questions, `parse` checks the
    /// first answer.
    ///
    /// # Errors
    /// `Refused` for two answers that differ, and those of `parse` and of [`Self::ask`].
    pub fn ask_new_secret<T>(&self, noun: &str, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
        let first = self.ask_secret()?;
        let secret = parse(&first)?;
        let again = Self { notice: "", question: "The same again:", unanswered: self.unanswered };
        if again.ask_secret()? == first {
            return Ok(secret);
        }
        bail!(Refused, "the two {noun}s differ; nothing was written"; hint: "run the command again")
    }

    /// The escaped lines of the prompt.
    pub(super) fn text(&self) -> String {
        let notice = if self.notice.is_empty() { String::new() } else { escape::lines(self.notice) + "\n" };
        notice + &escape::line(self.question)
    }

    /// The prompt as the terminal shows it, with the notice in `role`.
    fn shown(&self, role: Option<Role>) -> String {
        let shown = super::lay_out(&self.text(), Stream::Stderr);
        match (role, shown.rsplit_once('\n')) {
            (Some(role), Some((notice, question))) => {
                format!("{}\n{question}", Stream::Stderr.paint(role, notice))
            }
            _ => shown,
        }
    }

    /// Asks once, and returns whether the answer is `y` or `yes`.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn confirm(&self) -> Result<bool> {
        Ok(matches!(self.ask()?.to_lowercase().as_str(), "y" | "yes"))
    }
}

/// Asks the user on the terminal, where there is one.
pub struct TerminalApprover;

impl Approver for TerminalApprover {
    fn approve(&self, question: &Question) -> Result<Option<bool>> {
        if !can_ask() {
            return Ok(None);
        }
        let Question { notice, question, unanswered } = *question;
        Prompt { notice, question, unanswered }.confirm().map(Some)
    }
}

/// While this lives, the terminal does not show what is typed.
struct EchoOff(Termios);

impl EchoOff {
    fn new() -> Result<Self, Errno> {
        let before = tcgetattr(std::io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Discards all input that the terminal has received so far. Input from a pipe stays: nobody typed it before the
/// question.
fn discard_typed_ahead() -> Result<(), Errno> {
    loop {
        match tcflush(std::io::stdin(), QueueSelector::IFlush) {
            Err(Errno::INTR) => {}
            Err(Errno::NOTTY) => return Ok(()),
            flushed => return flushed,
        }
    }
}

/// Ends the line of the question, where the cursor still is.
fn end_line(stderr: &mut Stderr) {
    let _ = writeln!(stderr);
}

/// Waits for an answer. Returns `true` once stdin is readable or at its end, and `false` once a signal asks the tool to
/// stop. Only this wait ends at a signal: a read would continue to wait, so it begins when there is something to read.
fn wait_for_answer(signals: &SignalGuard) -> std::io::Result<bool> {
    let stdin = std::io::stdin();
    // A signal just before `poll` does not end the wait, so each wait is short.
    let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while !signals.is_stop_requested() {
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&tick)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}
