//! Questions to the user.

use std::io::{BufRead, IsTerminal, Stderr, Write};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::base::escape;
use crate::base::failure::ExitKind;
use crate::base::interrupt::{self, SignalGuard};

/// Whether there is somebody to ask: both stdin and stderr are a terminal.
pub fn on_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A question on the terminal. The text goes to stderr; stdout belongs to the result.
pub struct Prompt<'a> {
    /// One line; what should stand above it is reported before.
    pub question: &'a str,
    /// How things stand where the user stops the tool instead of answering.
    pub unanswered: &'a str,
}

impl Prompt<'_> {
    /// Asks once and returns the line without its end; an empty string at the end of the input.
    ///
    /// # Errors
    /// Of [`ExitKind::Interrupted`] where the user presses Ctrl-C.
    pub fn ask(&self) -> Result<String> {
        let hold = interrupt::guard()?;
        let mut stderr = std::io::stderr();
        write!(stderr, "{} ", self.shown())
            .and_then(|()| stderr.flush())
            .context("asking on the terminal")?;
        if !is_answered(&hold).context("waiting for the answer from the terminal")? {
            end_line(&mut stderr);
            return Err(ExitKind::Interrupted.error(self.unanswered));
        }
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("reading the answer from the terminal")?;
        if !line.ends_with('\n') {
            // The end of the input (Ctrl-D).
            end_line(&mut stderr);
        }
        Ok(line.trim().to_owned())
    }

    pub(super) fn shown(&self) -> String {
        escape::line(self.question)
    }

    /// Whether the answer is `y` or `yes`.
    pub fn confirm(&self) -> Result<bool> {
        Ok(matches!(self.ask()?.to_lowercase().as_str(), "y" | "yes"))
    }
}

/// The cursor is still behind the question.
fn end_line(stderr: &mut Stderr) {
    let _ = writeln!(stderr);
}

/// Waits until a line, or the end of the input, is there to be read (`true`), or a request to stop has come.
/// A read would go on waiting after a signal, so it begins only when it cannot wait.
fn is_answered(hold: &SignalGuard) -> std::io::Result<bool> {
    let stdin = std::io::stdin();
    // A signal that comes just before the wait does not end it.
    let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while !hold.requested() {
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&tick)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}
