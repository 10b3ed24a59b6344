//! Children that get a job over a socket and answer line by line.

use std::ffi::OsStr;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};

use super::{ExchangeEnd, Launcher, Output, delegate, stream};
use crate::base::interrupt;

/// The longest line of a child in an exchange, in bytes: the chunk map of a card of 1 TiB.
const MAX_MESSAGE: usize = 64 << 20;

impl Launcher {
    /// Runs a command and sends it the line `input` with `files` over a socket on its stdin. The socket stays open: it
    /// closes when the user asks to stop (Ctrl-C, SIGTERM, SIGHUP) or this process dies, and this process still waits
    /// for the command. `on_line` gets each line of its stdout, and `on_error_line` each of its stderr; without the
    /// latter, the command inherits stderr.
    pub fn exchange<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        input: &str,
        files: &[BorrowedFd],
        mut on_line: impl FnMut(&str),
        on_error_line: Option<&(dyn Fn(&str) + Sync)>,
    ) -> Result<ExchangeEnd> {
        let signals = interrupt::guard()?;
        let observed = self.observe(program, args);
        let (stdin, feed) = UnixStream::pair().context("making a socket")?;
        let (lines, sink) = std::io::pipe().context("making a pipe")?;
        let (errors, error_sink) = std::io::pipe().context("making a pipe")?;
        let mut command = self.command(program, args).stdin_file(stdin).stdout_file(sink);
        if on_error_line.is_some() {
            command = command.stderr_file(error_sink);
        }
        let child = self.started(program, command.start())?;
        // Without the writing ends in `command`, the readers find the ends of the pipes.
        drop(command);
        let close_on_stop = || {
            if signals.is_stop_requested() {
                let _ = feed.shutdown(Shutdown::Both);
            }
        };
        let receive_lines = || {
            stream::for_each_line(&lines, MAX_MESSAGE, &mut |_: &[u8]| close_on_stop(), &mut on_line)?;
            delegate::wait(&child, close_on_stop)
        };
        let exchanged = std::thread::scope(|scope| {
            if let Some(report) = on_error_line {
                let read = move || {
                    stream::for_each_line(&errors, stream::MAX_LINE, &mut |_| (), &mut |line| report(line))
                };
                std::thread::Builder::new().spawn_scoped(scope, read)?;
            }
            delegate::send_during(&feed, input, files, receive_lines)
        });
        exchanged.with_context(|| format!("exchanging messages with {program}"))?;
        let raw = child.into_output().with_context(|| format!("waiting for {program}"))?;
        let code = Output::from(raw).code;
        observed.end(code);
        Ok(ExchangeEnd { code, stopped: signals.is_stop_requested() })
    }
}
