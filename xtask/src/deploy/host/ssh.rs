//! Connections to the host: fresh ones unless a line is shared, and no waiting for ever.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::excerpt::tail;
use super::options::{FRESH, LOG, UNATTENDED};
use super::question::{Answer, Question};
use super::ssh_errors::{failure, lost};
use super::ssh_mux::SshMux;
use crate::base::failure::{ExitKind, kind};
use crate::base::interrupt;
use crate::base::process::{Bounds, Launcher, Output};
use crate::deploy::target::Connection;

/// How long a host may take to say how it is.
pub const LOOK: Duration = Duration::from_secs(60);
/// How long a host may take to list its store paths with their sizes: a Pi reads them from its card.
pub const LIST: Duration = Duration::from_secs(300);
/// How long any other command may run.
const WORK: Duration = Duration::from_secs(900);
/// The most that a host may say to one question, in bytes: 50,000 store paths and their sizes.
const MOST: u64 = 16 << 20;

/// The exit code of ssh itself, as opposed to that of the command on the host.
const SSH_FAILED: i32 = 255;

/// The host as commands are run on it.
pub struct Remote<'a> {
    launcher: &'a Launcher,
    host: &'a str,
    connection: &'a Connection,
    line: Option<&'a SshMux>,
}

impl<'a> Remote<'a> {
    pub fn new(launcher: &'a Launcher, host: &'a str, connection: &'a Connection) -> Self {
        Self { launcher, host, connection, line: None }
    }

    /// The same, and what is asked goes over `line`, if there is one.
    #[must_use]
    pub fn over(self, line: Option<&'a SshMux>) -> Self {
        Self { line, ..self }
    }

    /// Runs `command`, on a connection of its own unless there is a line, and returns its stdout. Its stdin is empty; ssh may
    /// ask on the terminal, if there is one.
    ///
    /// # Errors
    /// `HostKey`, `Permission` or `Unreachable` where there was no connection, `Undecided` where the
    /// command failed on the host.
    pub fn run(&self, command: &str) -> Result<String> {
        self.run_within(command, WORK)
    }

    /// Asks `question`, which may take so much `time`.
    ///
    /// # Errors
    /// As [`Self::run`], and `Undecided` where the answer does not come to its end.
    pub fn ask(&self, question: &Question, time: Duration) -> Result<Answer> {
        let said = self.run_within(&question.command(), time)?;
        let cut_off = || ExitKind::Undecided.error(format!("{} did not answer to the end", self.host));
        question.answer(&said).ok_or_else(cut_off)
    }

    fn run_within(&self, command: &str, time: Duration) -> Result<String> {
        let output = self.attempt_within(command, time)?;
        match output.code {
            0 => Ok(output.stdout),
            code => {
                let said = tail(&output.stderr);
                Err(ExitKind::Undecided
                    .error(format!("{} answered with exit code {code}: {said}", self.host)))
            }
        }
    }

    /// Like [`Self::run`], and that the command fails is no error. `Interrupted` where the user stops it; what is asked
    /// after that is to tell how things stand, and goes on unless ssh itself is stopped once more.
    pub fn attempt(&self, command: &str) -> Result<Output> {
        self.attempt_within(command, WORK)
    }

    /// Like [`Self::attempt`] for a command of the user, which may end with the exit code that ssh has for itself.
    pub fn attempt_any(&self, command: &str) -> Result<Output> {
        match self.hear(command, WORK)? {
            (output, log) if output.code == SSH_FAILED && !lost(&log, &output.stderr) => {
                // ssh may have been told to be silent: a host that answers now has answered before.
                self.run("true").map(|_| output)
            }
            heard => self.believed(heard),
        }
    }

    fn attempt_within(&self, command: &str, time: Duration) -> Result<Output> {
        self.believed(self.hear(command, time)?)
    }

    /// What the host said, where there was a connection.
    fn believed(&self, (output, log): (Output, String)) -> Result<Output> {
        match output.code {
            SSH_FAILED => Err(failure(self.host, self.connection, &log, &output.stderr)),
            _ => Ok(output),
        }
    }

    /// What the host says to `command`, and what ssh says of itself, where the host cannot put in a word: banners and
    /// programs write to stderr.
    fn hear(&self, command: &str, time: Duration) -> Result<(Output, String)> {
        let attended = std::io::stdin().is_terminal();
        let args = self.connection.arguments(self.first_options(attended), command);
        let hold = interrupt::guard()?;
        let again = hold.requested();
        let ends = || if again || !hold.requested() { Ok(()) } else { Err(self.stopped()) };
        let heard = self.launcher.bounded_with_log("ssh", &args, Bounds { output: MOST, time }, &ends);
        let (output, log) = heard.map_err(|error| self.beyond_bounds(error))?;
        if hold.requested() && was_stopped(&output, &log) {
            return Err(self.stopped());
        }
        Ok((output, log))
    }

    /// The error for a host that has said more, or taken longer, than it may: nothing of it is believed.
    fn beyond_bounds(&self, error: anyhow::Error) -> anyhow::Error {
        match kind(&error) {
            ExitKind::Verification => {
                ExitKind::Undecided.error(format!("{} did not answer as it should: {error:#}", self.host))
            }
            _ => error,
        }
    }

    fn stopped(&self) -> anyhow::Error {
        ExitKind::Interrupted.error(format!("stopped while {} was asked", self.host))
    }

    fn first_options(&self, attended: bool) -> Vec<String> {
        let unattended: &[&str] = if attended { &[] } else { &UNATTENDED };
        let shared = self.line.map_or_else(|| FRESH.map(str::to_owned).to_vec(), SshMux::options);
        let own = LOG.iter().chain(unattended).map(ToString::to_string);
        shared.into_iter().chain(own).collect()
    }
}

/// Whether ssh was ended by the signal of a terminal. Once it is connected it ends with its own exit code, without a word.
fn was_stopped(output: &Output, log: &str) -> bool {
    let signals = [Signal::HUP, Signal::INT, Signal::TERM];
    let by_signal = signals.iter().any(|signal| output.code == 128 + signal.as_raw());
    by_signal || output.code == SSH_FAILED && !lost(log, &output.stderr)
}

#[cfg(test)]
mod tests {
    use super::super::options::tests::{connection, pinned};
    use super::*;

    #[test]
    fn the_node_decides_what_is_not_a_matter_of_truth() {
        let launcher = Launcher::new("/");
        let fresh = "-o ControlMaster=no -o ControlPath=none -n -E /dev/stdin";
        let rest = "-p 2222 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T -- root@pi true";
        let pin = "-o UserKnownHostsFile=/s/known_hosts -o GlobalKnownHostsFile=/dev/null -o HostKeyAlias=stinky \
                   -o StrictHostKeyChecking=yes";
        let batch = "-o BatchMode=yes";
        for (connection, attended, expected) in [
            (connection(&["-p", "2222"]), false, format!("{fresh} {batch} {rest}")),
            (connection(&["-p", "2222"]), true, format!("{fresh} {rest}")),
            (pinned(&["-p", "2222"]), false, format!("{fresh} {batch} {pin} {rest}")),
        ] {
            let remote = Remote::new(&launcher, "stinky", &connection);
            assert_eq!(connection.arguments(remote.first_options(attended), "true").join(" "), expected);
        }
    }
}
