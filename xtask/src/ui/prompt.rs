//! Questions to the user, on the terminal.

use std::cell::RefCell;
use std::io::{BufRead, IsTerminal, Stderr, Write};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};

use super::filter;
use super::style::{Role, Stream};
use crate::base::failure::ExitKind;
use crate::base::interrupt::{self, SignalGuard};
use crate::base::{Approver, Question, escape};
use crate::failure;

/// Whether a user can answer a question: both stdin and stderr are a terminal.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// How often the user may answer the question which card or key is lost: who types two other names does not mean this
/// one.
pub const MAX_ANSWERS_BEFORE_LOSS: usize = 2;
/// How often the user may answer another question whose answer is checked.
pub const MAX_ANSWERS: usize = 3;

/// What the check of an answer found.
pub enum Answer<T> {
    Accepted(T),
    /// The user may answer again, for this reason.
    Again(String),
    /// The user does not want to go on.
    Declined,
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

    /// Asks until `check` accepts an answer, at most `count` times: before each further time with the reason in place
    /// of the notice. `None` where the user declines, and where no answer was accepted.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn ask_until<T>(&self, count: usize, check: impl Fn(&str) -> Answer<T>) -> Result<Option<T>> {
        self.repeat(count, |prompt| Ok(check(&prompt.ask()?)))
    }

    /// Like [`Self::ask_until`], at most [`MAX_ANSWERS_BEFORE_LOSS`] times, where the notice names what will be lost.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn ask_before_loss<T>(&self, check: impl Fn(&str) -> Answer<T>) -> Result<Option<T>> {
        self.repeat(MAX_ANSWERS_BEFORE_LOSS, |prompt| Ok(check(&prompt.ask_in(Some(Role::Loss))?)))
    }

    /// Like [`Self::ask_until`], for an answer that the terminal does not show.
    ///
    /// # Errors
    /// Those of `check` and of [`Self::ask`].
    pub fn ask_secret_until<T>(&self, check: impl Fn(String) -> Result<Answer<T>>) -> Result<Option<T>> {
        self.repeat(MAX_ANSWERS, |prompt| check(prompt.ask_secret()?))
    }

    /// Calls `ask` with this prompt, and up to `count` times in all with the reason why the last answer was not
    /// accepted.
    fn repeat<T>(&self, count: usize, ask: impl Fn(&Prompt) -> Result<Answer<T>>) -> Result<Option<T>> {
        let mut notice = self.notice.to_owned();
        for _ in 0..count {
            match ask(&Prompt { notice: &notice, ..*self })? {
                Answer::Accepted(accepted) => return Ok(Some(accepted)),
                Answer::Again(reason) => notice = reason,
                Answer::Declined => return Ok(None),
            }
        }
        Ok(None)
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
    /// first answer. Asks again, at most [`MAX_ANSWERS`] times in all, where it refuses that or the answers differ.
    ///
    /// # Errors
    /// `Refused` for two answers that differ at last, and those of `parse` and of [`Self::ask`].
    pub fn ask_new_secret<T>(&self, noun: &str, parse: impl Fn(&str) -> Result<T>) -> Result<T> {
        let last = RefCell::new(None);
        let again = Self { notice: "", question: "The same again:", unanswered: self.unanswered };
        let secret = self.ask_secret_until(|first| {
            let (reason, error) = match parse(&first) {
                Ok(secret) if again.ask_secret()? == first => return Ok(Answer::Accepted(secret)),
                Ok(_) => {
                    let reason = format!("the two {noun}s differ");
                    let error =
                        failure!(Refused, "{reason}; nothing was written"; hint: "run the command again");
                    (reason, error)
                }
                Err(error) => (error.to_string(), error),
            };
            *last.borrow_mut() = Some(error);
            Ok(Answer::Again(format!("{reason}; once more:")))
        })?;
        secret.ok_or_else(|| last.take().unwrap_or_else(|| failure!(Refused, "no {noun} was given")))
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

    /// Returns whether the answer is `y` or `yes`. Asks again for what is neither that nor `n`, `no` or nothing.
    ///
    /// # Errors
    /// Those of [`Self::ask`].
    pub fn confirm(&self) -> Result<bool> {
        let agreed = self.ask_until(MAX_ANSWERS, |answer| match answer.to_lowercase().as_str() {
            "y" | "yes" => Answer::Accepted(()),
            _ if is_no(answer) => Answer::Declined,
            _ => Answer::Again(format!("{answer:?} is neither y nor n.")),
        })?;
        Ok(agreed.is_some())
    }
}

/// Whether `answer` is that of a user who does not want to go on: no, or nothing.
pub fn is_no(answer: &str) -> bool {
    matches!(answer.to_lowercase().as_str(), "" | "n" | "no")
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
