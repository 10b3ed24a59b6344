//! Running commands on the host by ssh, on fresh connections or a shared one, always with a timeout.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::excerpt::tail;
use super::locked_keys::first_locked_key;
use super::options::{BATCH_MODE, LOG, NO_MUX};
use super::query::{Answer, Query};
use super::ssh_errors::{connection_error, is_lost};
use super::ssh_mux::SshMux;
use crate::base::failure::{ExitKind, kind};
use crate::base::process::{Bounds, Launcher, Output};
use crate::base::{HostName, interrupt, shell};
use crate::deploy::target::Connection;
use crate::failure;

/// How long a command may run that is no query.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(900);
/// The longest output of a command, in bytes: 50,000 store paths and their sizes.
const MAX_OUTPUT: u64 = 16 << 20;

/// The exit code of ssh itself, rather than of the command on the host.
const SSH_FAILED: i32 = 255;

/// A host on which commands can be run.
#[derive(Clone)]
pub struct Remote<'a> {
    launcher: &'a Launcher,
    host: &'a HostName,
    connection: Cow<'a, Connection>,
    mux: Option<&'a SshMux>,
}

impl<'a> Remote<'a> {
    pub fn new(launcher: &'a Launcher, host: &'a HostName, connection: &'a Connection) -> Self {
        Self { launcher, host, connection: Cow::Borrowed(connection), mux: None }
    }

    /// The same host, whose sshd must answer within `timeout`, in whole seconds. A timeout that the node sets is kept.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        let option = format!("ConnectTimeout={}", timeout.as_secs());
        // ssh takes the first value of an option.
        self.connection.to_mut().options.extend(["-o".to_owned(), option]);
        self
    }

    /// The same host, reached over `mux` if there is one.
    #[must_use]
    pub fn with_mux(self, mux: Option<&'a SshMux>) -> Self {
        Self { mux, ..self }
    }

    /// Runs `command` and returns its stdout; errors call it `label`. Its stdin is empty; ssh may ask on the terminal,
    /// if there is one.
    ///
    /// # Errors
    /// `HostKey`, `Permission` or `Unreachable` if there is no connection, `Undecided` if the command fails on the
    /// host.
    pub fn run(&self, label: &str, command: &str) -> Result<String> {
        self.run_within(label, command, COMMAND_TIMEOUT)
    }

    /// Runs `query` within `time` and returns its answer.
    ///
    /// # Errors
    /// As [`Self::run`], and `Undecided` if the answer is incomplete.
    pub fn query(&self, query: &Query, time: Duration) -> Result<Answer> {
        let output = self.try_run_within(&query.command(), time)?;
        let said = [output.stdout.as_str(), output.stderr.as_str()].map(tail).join("\n");
        if !query.has_run(&output.stdout) && !said.trim().is_empty() {
            return Err(self.not_run_error(output.code, said.trim()));
        }
        let stdout = self.check_success(query.label(), output)?;
        let incomplete = || failure!(Undecided, "the answer of {} is incomplete", self.host);
        query.parse(&stdout).ok_or_else(incomplete)
    }

    /// The error for a host that runs another command than ssh asked for: an account without a login, or a key with a
    /// forced command. Both write to stdout what they have to say.
    fn not_run_error(&self, code: i32, said: &str) -> anyhow::Error {
        let said = said.lines().map(|line| format!("\n  | {line}")).collect::<String>();
        failure!(
            Undecided, "{} did not run the commands of this tool as {} (exit code {code}); it printed:{said}",
            self.host, self.connection.destination;
            hint: "log in as a user with a shell, by a key for which neither authorized_keys (`command=`) nor sshd \
                   (`ForceCommand`) sets a command"
        )
    }

    fn run_within(&self, label: &str, command: &str, time: Duration) -> Result<String> {
        self.check_success(label, self.try_run_within(command, time)?)
    }

    /// The stdout of a command that succeeded.
    fn check_success(&self, label: &str, output: Output) -> Result<String> {
        match output.code {
            0 => Ok(output.stdout),
            code => Err(failure!(
                Undecided,
                "{label} on {} exited with {code}: {}",
                self.host,
                tail(&output.stderr)
            )),
        }
    }

    /// Runs `command` like [`Self::run`], but returns its output also if it fails.
    ///
    /// `Interrupted` if the user stops it. Commands after that interrupt read the state of the host, so they continue
    /// unless ssh itself is stopped again.
    pub fn try_run(&self, command: &str) -> Result<Output> {
        self.try_run_within(command, COMMAND_TIMEOUT)
    }

    /// Runs a command that may exit with the code that ssh has for its own failures, such as one of the user.
    pub fn run_with_any_exit_code(&self, command: &str) -> Result<Output> {
        match self.run_ssh(command, COMMAND_TIMEOUT)? {
            (output, log) if output.code == SSH_FAILED && !is_lost(&log, &output.stderr) => {
                // The user may have made ssh quiet: a host that answers now has answered before.
                self.run("`true`", "true").map(|_| output)
            }
            reply => self.check_connected(reply),
        }
    }

    fn try_run_within(&self, command: &str, time: Duration) -> Result<Output> {
        self.check_connected(self.run_ssh(command, time)?)
    }

    /// The output of the host, if there was a connection.
    fn check_connected(&self, (output, log): (Output, String)) -> Result<Output> {
        match output.code {
            SSH_FAILED => {
                let error = connection_error(self.host, &self.connection, &log, &output.stderr);
                Err(self.with_locked_key(error))
            }
            _ => Ok(output),
        }
    }

    /// Adds the key that ssh could not use to the `error` of a refused login. Returns any other error unchanged.
    fn with_locked_key(&self, error: anyhow::Error) -> anyhow::Error {
        if kind(&error) != ExitKind::Permission {
            return error;
        }
        match first_locked_key(self.launcher, &self.connection) {
            Some(key) => failure!(
                Permission, "{error:#}";
                hint: "run `ssh-add {}`: that key has a passphrase, for which ssh cannot ask here",
                shell::quote(&key.display().to_string())
            ),
            None => error,
        }
    }

    /// Runs `command` by ssh, and returns its output and the log of ssh. The host cannot write to the log, unlike
    /// stderr, which has banners and the output of programs.
    fn run_ssh(&self, command: &str, time: Duration) -> Result<(Output, String)> {
        let interactive = std::io::stdin().is_terminal();
        let args = self.connection.arguments(self.first_options(interactive), command);
        let signals = interrupt::guard()?;
        let interrupted_before = signals.is_stop_requested();
        let check = || {
            if interrupted_before || !signals.is_stop_requested() {
                Ok(())
            } else {
                Err(self.stopped_error())
            }
        };
        let reply =
            self.launcher.run_bounded_with_log("ssh", &args, Bounds { output: MAX_OUTPUT, time }, &check);
        let (output, log) = reply.map_err(|error| self.limit_error(error))?;
        if signals.is_stop_requested() && was_stopped(&output, &log) {
            return Err(self.stopped_error());
        }
        Ok((output, log))
    }

    /// The error for a host that exceeds the limits of output or time: none of its output is used.
    fn limit_error(&self, error: anyhow::Error) -> anyhow::Error {
        match kind(&error) {
            ExitKind::Verification => {
                let message = format!("no valid answer from {}: {error:#}", self.host);
                ExitKind::Undecided.error_with_hint_of(message, &error)
            }
            _ => error,
        }
    }

    fn stopped_error(&self) -> anyhow::Error {
        failure!(Interrupted, "stopped while querying {}", self.host)
    }

    fn first_options(&self, interactive: bool) -> Vec<String> {
        let batch_mode: &[&str] = if interactive { &[] } else { &BATCH_MODE };
        let mux = self.mux.map_or_else(|| NO_MUX.map(str::to_owned).to_vec(), SshMux::options);
        let log_and_batch = LOG.iter().chain(batch_mode).map(ToString::to_string);
        mux.into_iter().chain(log_and_batch).collect()
    }
}

/// Whether a signal of the terminal ended ssh. A connected ssh then exits with its own exit code, without a message.
fn was_stopped(output: &Output, log: &str) -> bool {
    let signals = [Signal::HUP, Signal::INT, Signal::TERM];
    let by_signal = signals.iter().any(|signal| output.code == 128 + signal.as_raw());
    by_signal || output.code == SSH_FAILED && !is_lost(log, &output.stderr)
}

#[cfg(test)]
mod tests {
    use super::super::options::tests::{connection, pinned};
    use super::*;

    #[test]
    fn the_order_of_ssh_options() {
        let launcher = Launcher::new("/");
        let fresh = "-o ControlMaster=no -o ControlPath=none -n -E /dev/stdin";
        let rest = "-p 2222 -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -T -- root@pi true";
        let pin = "-o UserKnownHostsFile=/s/known_hosts -o GlobalKnownHostsFile=/dev/null -o HostKeyAlias=stinky \
                   -o StrictHostKeyChecking=yes";
        let batch = "-o BatchMode=yes";
        for (connection, interactive, expected) in [
            (connection(&["-p", "2222"]), false, format!("{fresh} {batch} {rest}")),
            (connection(&["-p", "2222"]), true, format!("{fresh} {rest}")),
            (pinned(&["-p", "2222"]), false, format!("{fresh} {batch} {pin} {rest}")),
        ] {
            let host = "stinky".into();
            let remote = Remote::new(&launcher, &host, &connection);
            assert_eq!(connection.arguments(remote.first_options(interactive), "true").join(" "), expected);
        }
    }
}
