//! Part of the work of this process, done by a child that has fewer rights.

use std::ffi::OsStr;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Launcher, Output, handover};

/// How often it is looked whether the child has to stop.
const TICK: Duration = Duration::from_millis(100);

/// Whom a child belongs to: a user and a group, and no other groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub user: u32,
    pub group: u32,
}

impl Launcher {
    /// Runs a command as `user`, hands it the line `input` with `files` over a socket on its stdin, and returns its exit
    /// code. Its stdout and stderr are those of this process. Once `stop` says so its stdin ends, and it is
    /// waited for all the same.
    pub fn delegate<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        user: User,
        input: &str,
        files: &[BorrowedFd],
        stop: impl Fn() -> bool,
    ) -> Result<i32> {
        let (stdin, feed) = UnixStream::pair().context("making a socket")?;
        let command = self.duct(program, args).stdin_file(stdin).before_spawn(move |command| {
            // The standard library leaves all other groups where it sets a user.
            command.gid(user.group).uid(user.user);
            Ok(())
        });
        let running = || format!("running {program}");
        let child = command.start().with_context(running)?;
        drop(command);
        let look = || drop(stop().then(|| feed.shutdown(Shutdown::Both)));
        feeding(&feed, input, files, || wait(&child, look)).with_context(running)?;
        Ok(Output::from(child.into_output().with_context(running)?).code)
    }
}

/// Does `work` while the child at the other end of `feed` is sent the line `input` with `files`: it may read them late,
/// where a password is asked for first. Then its stdin ends.
pub fn feeding(
    feed: &UnixStream,
    input: &str,
    files: &[BorrowedFd],
    work: impl FnOnce() -> std::io::Result<()>,
) -> std::io::Result<()> {
    std::thread::scope(|scope| {
        // A child that has ended already says more by its exit code than this error would.
        let send = || drop(handover::send(feed, input, files));
        let sending = std::thread::Builder::new().spawn_scoped(scope, send).map(drop);
        if sending.is_err() {
            // The child is not to wait for what never comes.
            let _ = feed.shutdown(Shutdown::Both);
        }
        let done = work();
        let _ = feed.shutdown(Shutdown::Both);
        sending.and(done)
    })
}

/// Waits until `child` ends, and calls `look` meanwhile.
pub fn wait(child: &duct::Handle, look: impl Fn()) -> std::io::Result<()> {
    while child.wait_timeout(TICK)?.is_none() {
        look();
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
        let run = |script: &str, stop: bool| {
            Launcher::new("/").delegate("sh", &["-c", script], own, "hello", &[], || stop).unwrap()
        };
        assert_eq!(run("read -r line; [ \"$line\" = hello ] && exit 7", false), 7);
        assert_eq!(run("read -r line; read -r line || exit 9", true), 9);
    }
}
