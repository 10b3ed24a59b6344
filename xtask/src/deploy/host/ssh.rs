//! Running commands on the host by ssh, on fresh connections or a shared one, always with a timeout.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::excerpt::tail;
use super::locked_keys::first_locked_key;
use super::options::{BATCH_MODE, COMPRESSION, LOG, NO_MUX, owned_options};
use super::query::{Answer, Query};
use super::ssh_errors::{connection_error, has_ssh_failed, was_session_closed};
use super::ssh_mux::SshMux;
use crate::base::failure::{ExitKind, kind};
use crate::base::process::{Bounds, Launcher, Output, Silent};
use crate::base::{HostName, interrupt, shell};
use crate::deploy::target::Connection;
use crate::failure;

/// How long a command other than a query may run.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(900);
/// The longest output of a command, in bytes: 50,000 store paths and their sizes.
const MAX_OUTPUT: u64 = 16 << 20;

/// The exit code of ssh itself, rather than of the command on the host.
pub const SSH_FAILED: i32 = 255;

/// What ssh leaves behind: the output of the command on the host, and the log of ssh itself.
///
/// Of the log the host writes only the reason of a disconnect (see [`super::ssh_errors`]). stderr also has the banner
/// of the host and the output of programs.
struct Reply {
    output: Output,
    log: String,
}

/// A host on which commands can be run.
#[derive(Clone)]
pub struct Remote<'a> {
    pub(super) launcher: &'a Launcher,
    host: &'a HostName,
    pub(super) connection: &'a Connection,
    /// How long the host may take to answer; `None` for the timeout of every connection.
    connect_timeout: Option<Duration>,
    /// How long a command may take to begin its output; `None` without a limit of its own.
    begin_within: Option<Duration>,
    /// The options that decide which connection is used.
    mux: Vec<String>,
}

impl<'a> Remote<'a> {
    pub fn new(launcher: &'a Launcher, host: &'a HostName, connection: &'a Connection) -> Self {
        let mux = owned_options(NO_MUX);
        Self { launcher, host, connection, connect_timeout: None, begin_within: None, mux }
    }

    /// The same host, whose sshd must answer within `timeout`, in whole seconds. A timeout that the node sets is kept.
    #[must_use]
    pub fn with_connect_timeout(self, timeout: Duration) -> Self {
        Self { connect_timeout: Some(timeout), ..self }
    }

    /// The same host, reached over `mux` if there is one.
    #[must_use]
    pub fn with_mux(self, mux: Option<&SshMux>) -> Self {
        Self { mux: mux.map_or_else(|| owned_options(NO_MUX), SshMux::options), ..self }
    }

    /// The same host, reached over the connection that the options `mux` name. A command must begin its output within
    /// the time `begin_within`, if there is one; else the host counts as unreachable.
    #[must_use]
    pub(super) fn over(self, mux: Vec<String>, begin_within: Option<Duration>) -> Self {
        Self { begin_within, mux, ..self }
    }

    /// Runs `command` and returns its stdout; errors call it `label`. Its stdin is empty; ssh may ask on the terminal,
    /// if there is one.
    ///
    /// # Errors
    /// `HostKey`, `Permission` or `Unreachable` if there is no connection, `Undecided` if the command fails on the host
    /// or exceeds its limits, `Interrupted` if the user stops the command.
    pub fn run(&self, label: &str, command: &str) -> Result<String> {
        self.run_within(label, command, COMMAND_TIMEOUT)
    }

    /// Runs `query` within `time` and returns its answer.
    ///
    /// # Errors
    /// As [`Self::run`], and `Undecided` if the host runs another command, or if the answer is incomplete.
    pub fn query(&self, query: &Query, time: Duration) -> Result<Answer> {
        let output = self.try_run_within(&query.command(), time)?;
        let text = [output.stdout.as_str(), output.stderr.as_str()].map(tail).join("\n");
        let is_silent = output.code == 0 && text.trim().is_empty();
        if !query.has_run(&output.stdout) && !is_silent {
            return Err(self.not_run_error(output.code, text.trim()));
        }
        let stdout = self.check_success(query.label(), output)?;
        let incomplete = || failure!(Undecided, "the answer of {} is incomplete", self.host);
        query.parse(&stdout).ok_or_else(incomplete)
    }

    /// The error for a host that runs another command than ssh asked for, because the account has no login, or the key
    /// has a forced command. Most print an explanation: `text`.
    fn not_run_error(&self, code: i32, text: &str) -> anyhow::Error {
        let quoted = text.lines().map(|line| format!("\n  | {line}")).collect::<String>();
        let printed = if quoted.is_empty() { " nothing" } else { ":" };
        failure!(
            Undecided, "{} did not run the commands of this tool as {} (exit code {code}); it printed{printed}{quoted}",
            self.host, self.connection.destination;
            hint: "log in as a user with a shell, by a key for which neither authorized_keys (`command=`) nor sshd \
                   (`ForceCommand`) sets a command"
        )
    }

    /// Runs `command` like [`Self::run`], within `time`.
    fn run_within(&self, label: &str, command: &str, time: Duration) -> Result<String> {
        self.check_success(label, self.try_run_within(command, time)?)
    }

    /// The stdout of a command, which errors call `label`.
    ///
    /// # Errors
    /// `Undecided` if the command failed.
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
    /// # Errors
    /// `HostKey`, `Permission` or `Unreachable` if there is no connection; `Interrupted` if the user stops the command.
    /// Commands after that interrupt read the state of the host, so they continue unless ssh itself is stopped again.
    pub fn try_run(&self, command: &str) -> Result<Output> {
        self.try_run_within(command, COMMAND_TIMEOUT)
    }

    /// Runs `command` like [`Self::try_run`], also one that may exit with the code that ssh has for its own failures,
    /// such as a health check of the user.
    pub fn run_with_any_exit_code(&self, command: &str) -> Result<Output> {
        let reply = self.run_ssh(command, COMMAND_TIMEOUT)?;
        let exited_like_ssh =
            reply.output.code == SSH_FAILED && !has_ssh_failed(&reply.log, &reply.output.stderr);
        if !exited_like_ssh {
            return self.check_connected(reply);
        }
        // The user may have made ssh quiet: a host that answers now has answered before.
        self.run("`true`", "true")?;
        Ok(reply.output)
    }

    /// Runs `command` like [`Self::try_run`], one that makes the host close the connection. If the host closes it, this
    /// returns the output, with the exit code [`SSH_FAILED`]; what `command` printed last may be missing.
    pub fn try_run_until_closed(&self, command: &str) -> Result<Output> {
        let reply = self.run_ssh(command, COMMAND_TIMEOUT)?;
        if was_session_closed(&reply.output.stderr) { Ok(reply.output) } else { self.check_connected(reply) }
    }

    /// Runs `command` like [`Self::try_run`], within `time`.
    fn try_run_within(&self, command: &str, time: Duration) -> Result<Output> {
        self.check_connected(self.run_ssh(command, time)?)
    }

    /// The output of the command, if there was a connection.
    fn check_connected(&self, reply: Reply) -> Result<Output> {
        let Reply { output, log } = reply;
        if output.code != SSH_FAILED {
            return Ok(output);
        }
        Err(self.connection_error(&log, &output.stderr))
    }

    /// The error for a connection that failed, by what ssh wrote; see [`connection_error`].
    pub(super) fn connection_error(&self, log: &str, stderr: &str) -> anyhow::Error {
        self.with_locked_key(connection_error(self.host, self.connection, log, stderr))
    }

    /// Adds to the `error` of a refused login the key that ssh could not use. Returns any other error unchanged.
    fn with_locked_key(&self, error: anyhow::Error) -> anyhow::Error {
        if kind(&error) != ExitKind::Permission {
            return error;
        }
        match first_locked_key(self.launcher, self.connection) {
            Some(key) => failure!(
                Permission, "{error:#}";
                hint: "run `ssh-add {}`: that key has a passphrase, for which ssh cannot ask here",
                shell::quote(&key.display().to_string())
            ),
            None => error,
        }
    }

    /// Runs a long `command` without a time limit; `on_line` gets each line of its stderr, and of that of ssh, at once.
    /// ssh asks nothing.
    ///
    /// # Errors
    /// `Interrupted` where the user stops the command. An exit code other than 0 is not an error here.
    pub fn stream(&self, command: &str, on_line: impl FnMut(&str)) -> Result<Output> {
        let first = [self.mux.clone(), owned_options(BATCH_MODE)].concat();
        let args = self.connection.arguments(first, command);
        self.launcher.stream("ssh", &args, on_line)
    }

    /// Whether ssh connects without a question to the user.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub fn asks_nothing(&self) -> Result<bool> {
        Ok(self.stream("true", |_| ())?.success())
    }

    /// Runs `command` by ssh within `time`.
    fn run_ssh(&self, command: &str, time: Duration) -> Result<Reply> {
        let is_interactive = std::io::stdin().is_terminal();
        let args = self.arguments(self.first_options(is_interactive), command);
        let signals = interrupt::guard()?;
        let was_interrupted_before = signals.is_stop_requested();
        let check = || {
            let is_new_interrupt = signals.is_stop_requested() && !was_interrupted_before;
            if is_new_interrupt { Err(self.stopped_error()) } else { Ok(()) }
        };
        let bounds = (Bounds { output: MAX_OUTPUT, time }, self.begin_within);
        let result = self.launcher.run_bounded_with_log("ssh", &args, bounds, &check);
        let (output, log) = result.map_err(|error| self.limit_error(error))?;
        let reply = Reply { output, log };
        if signals.is_stop_requested() && reply.was_stopped() {
            return Err(self.stopped_error());
        }
        Ok(reply)
    }

    /// Makes the `error` of a command that exceeds the limits of output or time one of the host: none of its output is
    /// used. Returns any other error unchanged.
    fn limit_error(&self, error: anyhow::Error) -> anyhow::Error {
        match kind(&error) {
            _ if error.is::<Silent>() => failure!(Unreachable, "{} does not answer any more", self.host),
            ExitKind::Verification => {
                let message = format!("no valid answer from {}: {error:#}", self.host);
                ExitKind::Undecided.error_with_hint_of(message, &error)
            }
            _ => error,
        }
    }

    pub(super) fn stopped_error(&self) -> anyhow::Error {
        failure!(Interrupted, "stopped while querying {}", self.host)
    }

    /// The arguments with which ssh runs a query; the options `first` override all others. The host may answer at
    /// length, and its answers are texts.
    pub(super) fn arguments(&self, first: Vec<String>, command: &str) -> Vec<String> {
        let mut connection = self.connection.clone();
        // ssh takes the first value of an option: that of the node, if there is one.
        let timeout = self.connect_timeout.map(|timeout| format!("ConnectTimeout={}", timeout.as_secs()));
        connection.options.extend(timeout.into_iter().flat_map(|option| ["-o".to_owned(), option]));
        connection.options.extend(owned_options(COMPRESSION));
        connection.arguments(first, command)
    }

    /// The options that override all others. `is_interactive` is whether ssh may ask the user.
    pub(super) fn first_options(&self, is_interactive: bool) -> Vec<String> {
        let batch_mode: &[&str] = if is_interactive { &[] } else { BATCH_MODE };
        [self.mux.clone(), owned_options(LOG), owned_options(batch_mode)].concat()
    }
}

impl Reply {
    /// Whether a signal of the terminal ended ssh. A connected ssh then exits with its own exit code, without a
    /// message.
    fn was_stopped(&self) -> bool {
        let code = self.output.code;
        let signals = [Signal::HUP, Signal::INT, Signal::TERM];
        let by_signal = signals.iter().any(|signal| code == 128 + signal.as_raw());
        by_signal || code == SSH_FAILED && !has_ssh_failed(&self.log, &self.output.stderr)
    }
}
