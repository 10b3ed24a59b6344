//! The one door to subprocesses: argument vectors only, never a shell string.
//!
//! xshell serves short commands of our own whose output is wanted whole; duct serves commands that say foreign things, that
//! run long, whose output is followed line by line, or whose terminal is the user's.

use std::ffi::{OsStr, OsString};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::base::failure::ExitKind;
use crate::base::interrupt;

mod background;
mod bounded;
mod capabilities;
mod delegate;
mod expect;
pub mod handover;
mod measure;
mod stream;

use stream::Deaf;

pub use background::Background;
pub use bounded::Bounds;
pub use delegate::User;
pub use expect::{End, Heard, Reply};
pub use measure::{Cost, Measured};

/// What a short command may say and take.
const SHORT: Bounds = Bounds { said: 64 << 20, time: Duration::from_secs(3600) };
/// The most that is read of what a long command says on its stdout, in bytes: evaluations are large.
const MOST: u64 = 256 << 20;
/// The longest message of the worker, in bytes: what became of each MiB of a card of a TiB.
const LONGEST_MESSAGE: usize = 64 << 20;

/// How children are started: in which directory and with which changes to the environment.
#[derive(Clone, Debug)]
pub struct Launcher {
    dir: PathBuf,
    env: Vec<(OsString, OsString)>,
    /// Children get nothing but `env`.
    clean: bool,
    protects_keys: bool,
}

/// What a finished child left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 + N for a child ended by signal N, as shells have it.
    pub code: i32,
    pub stdout: String,
    /// Empty where stderr was followed line by line or belonged to the terminal.
    pub stderr: String,
}

/// How a child ended that was talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// As in [`Output`].
    pub code: i32,
    /// Whether this process was asked to stop meanwhile.
    pub stopped: bool,
}

impl Output {
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

impl From<std::process::Output> for Output {
    fn from(raw: std::process::Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = raw.status.code().unwrap_or_else(|| 128 + raw.status.signal().unwrap_or(0));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code, stdout: text(&raw.stdout), stderr: text(&raw.stderr) }
    }
}

impl Launcher {
    /// Children run in `dir` with the environment of this process.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), env: Vec::new(), clean: false, protects_keys: false }
    }

    /// A launcher whose children get nothing of the environment of this process.
    pub fn clean(dir: impl Into<PathBuf>) -> Self {
        Self { clean: true, ..Self::new(dir) }
    }

    /// The same launcher with one more environment variable.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let name = name.into();
        // Only one value may be left: of two, duct takes the first and xshell the last.
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value.into()));
        self
    }

    /// The same launcher with `dir` in front of the `PATH` of its children.
    #[must_use]
    pub fn with_path_front(self, dir: &Path) -> Self {
        let old = self.env("PATH").unwrap_or_default();
        let mut path = dir.as_os_str().to_owned();
        if !old.is_empty() {
            path.push(":");
            path.push(old);
        }
        self.with_env("PATH", path)
    }

    /// The same launcher for another working directory.
    #[must_use]
    pub fn in_dir(&self, dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..self.clone() }
    }

    /// The value a child will see for the variable `name`.
    pub fn env(&self, name: &str) -> Option<OsString> {
        let own = self.env.iter().find(|(key, _)| key == name);
        own.map(|(_, value)| value.clone()).or_else(|| std::env::var_os(name).filter(|_| !self.clean))
    }

    /// Where `program` is found on the `PATH` of the children.
    pub fn which(&self, program: &str) -> Option<PathBuf> {
        let path = self.env("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_executable(file))
    }

    /// Runs a short command to its end, within an hour and 64 MiB of output. Its stdin is empty; stdout and stderr are
    /// returned whole. An exit code other than 0 is no error here: the caller reads it.
    pub fn capture<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<Output> {
        self.bounded(program, args, SHORT, &|| Ok(()))
    }

    /// Runs a short command whose output is not foreign, and returns its stdout. Its stdin is empty. An exit code other
    /// than 0 is an error that ends in the child's stderr.
    pub fn read<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<String> {
        let shell = xshell::Shell::new().context("starting a command")?;
        shell.change_dir(&self.dir);
        let command = xshell::cmd!(shell, "{program} {args...}");
        let command = if self.clean { command.env_clear() } else { command };
        let command = command.envs(self.env.iter().cloned());
        let raw = command.quiet().ignore_status().output();
        let output = raw.map(Output::from).with_context(|| format!("running {program}"))?;
        if output.success() {
            return Ok(output.stdout);
        }
        let words = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
        let (code, stderr) = (output.code, output.stderr.trim());
        Err(ExitKind::Other.error(format!("{program} {words} failed with exit code {code}: {stderr}")))
    }

    /// Runs a long command. Its stdin is empty, each line of its stderr goes to `on_line` as it
    /// comes, and its stdout is returned. If the user asks to stop, the command is asked too, waited
    /// for, and the error is of [`ExitKind::Interrupted`].
    pub fn stream<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        on_line: impl FnMut(&str),
    ) -> Result<Output> {
        self.stream_deaf(program, args, Deaf::Asked, on_line)
    }

    /// The same for a command that loses nothing where it is cut off: it is killed where it takes no notice of a request
    /// to stop for some seconds.
    pub fn stream_killable<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        on_line: impl FnMut(&str),
    ) -> Result<Output> {
        self.stream_deaf(program, args, Deaf::Killed, on_line)
    }

    fn stream_deaf<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        deaf: Deaf,
        on_line: impl FnMut(&str),
    ) -> Result<Output> {
        let (stdout, sink) = std::io::pipe().context("making a pipe")?;
        let reading = std::thread::Builder::new().spawn(move || crate::base::bounded::read_all(stdout, MOST));
        let read = reading.with_context(|| format!("listening to {program}"))?;
        let command = self.duct(program, args).stdin_null().stdout_file(sink);
        let followed = stream::follow(program, &command, deaf, on_line);
        // The writing end of the pipe is gone, so that the reader comes to the end.
        drop(command);
        let read = read.join().map_err(|_| anyhow::anyhow!("the thread that reads has panicked"))?;
        let stdout = read.with_context(|| format!("reading what {program} says"))?;
        Ok(Output { stdout: String::from_utf8_lossy(&stdout).into_owned(), ..followed? })
    }

    /// Runs a long command all of whose output is story: each line of its stdout and its stderr goes
    /// to `on_line` as it comes. Its stdin is empty; what asks on the terminal itself, as ssh does,
    /// still can. Returns the exit code. A request to stop is passed on as [`Self::stream`] does.
    pub fn stream_all<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        on_line: impl FnMut(&str),
    ) -> Result<i32> {
        let command = self.duct(program, args).stdin_null().stdout_to_stderr();
        stream::follow(program, &command, Deaf::Asked, on_line).map(|output| output.code)
    }

    /// Runs a command on the user's own terminal: all three streams are inherited. Returns its exit code.
    pub fn interact<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<i32> {
        let raw = self.duct(program, args).run().with_context(|| format!("running {program}"))?;
        Ok(Output::from(raw).code)
    }

    /// Runs two commands, the stdout of the first being the stdin of the second, which says nothing
    /// on its own stdout. An exit code other than 0 of either is an error that ends in their stderr.
    pub fn pipe<S: AsRef<OsStr>>(&self, first: (&str, &[S]), second: (&str, &[S])) -> Result<()> {
        let (from, into) = (self.duct(first.0, first.1).stdin_null(), self.duct(second.0, second.1));
        let doing = || format!("running {} into {}", first.0, second.0);
        let raw = from.pipe(into).stdout_null().stderr_capture().run().with_context(doing)?;
        let output = Output::from(raw);
        if output.success() {
            return Ok(());
        }
        let (code, stderr) = (output.code, output.stderr.trim());
        let (first, second) = (first.0, second.0);
        Err(ExitKind::Other.error(format!("{first} into {second} failed with exit code {code}: {stderr}")))
    }

    /// Runs a command, or several each of which reads what the one before it writes, and measures them.
    /// Stdin is empty, the last stdout goes nowhere, and stderr is returned. A request to stop is passed
    /// on as [`Self::stream`] does.
    pub fn measure(&self, pipeline: &[Vec<OsString>]) -> Result<Measured> {
        let commands = pipeline.iter().filter_map(|words| words.split_first());
        let names = commands.clone().map(|(program, _)| program.to_string_lossy()).collect::<Vec<_>>();
        let parts = commands.map(|(program, args)| self.duct(program, args));
        let command = parts.reduce(|from, into| from.pipe(into)).context("there is nothing to run")?;
        measure::measure(&names.join(" into "), &command.stdin_null())
    }

    /// Runs a command and hands it the line `input` with `files` over a socket on its stdin, which stays open: it ends
    /// when this process is asked to stop (ctrl-C, SIGTERM, SIGHUP) or dies, and the command is waited for all
    /// the same. Each line of its stdout goes to `on_line`; its stderr is the terminal's.
    pub fn exchange<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        input: &str,
        files: &[BorrowedFd],
        mut on_line: impl FnMut(&str),
    ) -> Result<Ended> {
        let hold = interrupt::guard()?;
        let (stdin, feed) = UnixStream::pair().context("making a socket")?;
        let (lines, sink) = std::io::pipe().context("making a pipe")?;
        let command = self.duct(program, args).stdin_file(stdin).stdout_file(sink);
        let child = command.start().with_context(|| format!("running {program}"))?;
        drop(command);
        let stop = || drop(hold.requested().then(|| feed.shutdown(Shutdown::Both)));
        delegate::feeding(&feed, input, files, || {
            stream::for_each_line(&lines, LONGEST_MESSAGE, &mut |_: &[u8]| stop(), &mut on_line)
                .and_then(|()| delegate::wait(&child, stop))
        })
        .with_context(|| format!("following {program}"))?;
        let raw = child.into_output().with_context(|| format!("waiting for {program}"))?;
        Ok(Ended { code: Output::from(raw).code, stopped: hold.requested() })
    }

    fn duct<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, args: &[S]) -> duct::Expression {
        let args = args.iter().map(|arg| arg.as_ref().to_owned()).collect::<Vec<_>>();
        let command = duct::cmd(program.as_ref(), args).dir(&self.dir).unchecked();
        if self.clean {
            return command.full_env(self.env.iter().cloned());
        }
        self.env.iter().fold(command, |command, (name, value)| command.env(name, value))
    }
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_followed_to_its_end() {
        let launcher = Launcher::new("/").with_env("WORD", "replaced").with_env("WORD", "seen");
        let mut lines = Vec::new();
        let script = "echo one >&2; echo $WORD; echo two >&2; exit 3";
        let output = launcher.stream("sh", &["-c", script], |line| lines.push(line.to_owned())).unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (3, "seen\n"));
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn both_streams_are_followed_in_order() {
        let mut lines = Vec::new();
        let script = "echo one; echo two >&2; echo three; exit 5";
        let code = Launcher::new("/").stream_all("sh", &["-c", script], |line| lines.push(line.to_owned()));
        assert_eq!(code.unwrap(), 5);
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn a_conversation() {
        let mut lines = Vec::new();
        let keep = |line: &str| lines.push(line.to_owned());
        let ended = Launcher::new("/").exchange("head", &["-n1"], "hello", &[], keep).unwrap();
        assert_eq!((ended, lines), (Ended { code: 0, stopped: false }, vec!["hello".to_owned()]));
    }

    #[test]
    fn a_failing_command_says_why() {
        let error = Launcher::new("/").read("sh", &["-c", "echo bad >&2; exit 7"]).unwrap_err();
        assert_eq!(error.to_string(), "sh -c echo bad >&2; exit 7 failed with exit code 7: bad");
        assert!(Launcher::new("/").capture("no-such-program", &[""; 0]).is_err());
    }
}
