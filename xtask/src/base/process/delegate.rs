//! Delegates work to a child that runs as another user.

use std::ffi::OsStr;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Launcher, Output, handover};

/// The interval between two checks whether the child has to stop.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The numbers of a user and a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub user: u32,
    pub group: u32,
}

impl Launcher {
    /// Runs a command as `user` without supplementary groups, sends it the line `input` with `files` over a socket on
    /// its stdin, and returns its exit code. The command inherits stdout and stderr. When `must_stop` returns true, its
    /// stdin closes, and this process still waits for its end.
    pub fn delegate<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        user: User,
        input: &str,
        files: &[BorrowedFd],
        must_stop: impl Fn() -> bool,
    ) -> Result<i32> {
        let (stdin, feed) = UnixStream::pair().context("making a socket")?;
        let command = self.command(program, args).stdin_file(stdin).before_spawn(move |command| {
            // The standard library drops the supplementary groups when it sets a user.
            command.gid(user.group).uid(user.user);
            Ok(())
        });
        let running = || format!("running {program}");
        let child = self.started(program, command.start())?;
        drop(command);
        let close_on_stop = || {
            if must_stop() {
                let _ = feed.shutdown(Shutdown::Both);
            }
        };
        send_during(&feed, input, files, || wait(&child, close_on_stop)).with_context(running)?;
        Ok(Output::from(child.into_output().with_context(running)?).code)
    }
}

/// Runs `work` while another thread sends the line `input` with `files` to the child at the other end of `feed`: the
/// child may read them late, where sudo asks for a password first. Closes `feed` when `work` ends.
///
/// # Errors
/// Those of `work`, and where no thread can be started.
pub fn send_during(
    feed: &UnixStream,
    input: &str,
    files: &[BorrowedFd],
    work: impl FnOnce() -> std::io::Result<()>,
) -> std::io::Result<()> {
    std::thread::scope(|scope| {
        // Of a child that has already ended, the exit code is more informative than this error.
        let send = || drop(handover::send(feed, input, files));
        let sending = std::thread::Builder::new().spawn_scoped(scope, send).map(drop);
        if sending.is_err() {
            // The child must not wait for an input that is never sent.
            let _ = feed.shutdown(Shutdown::Both);
        }
        let result = work();
        let _ = feed.shutdown(Shutdown::Both);
        sending.and(result)
    })
}

/// Waits until `child` ends, and calls `check` every [`POLL_INTERVAL`] meanwhile.
pub fn wait(child: &duct::Handle, mut check: impl FnMut()) -> std::io::Result<()> {
    while child.wait_timeout(POLL_INTERVAL)?.is_none() {
        check();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_the_line_and_stops_with_its_stdin() {
        let own =
            User { user: rustix::process::geteuid().as_raw(), group: rustix::process::getegid().as_raw() };
        let run = |script: &str, must_stop: fn() -> bool| {
            Launcher::new("/").delegate("sh", &["-c", script], own, "hello", &[], must_stop).unwrap()
        };
        assert_eq!(run("read -r line; [ \"$line\" = hello ] && exit 7", || false), 7);
        assert_eq!(run("read -r line; read -r line || exit 9", || true), 9);
    }
}
