//! The one door to child processes: argument vectors only, never a shell string.
//!
//! xshell runs short commands whose output is trusted and wanted as a whole; duct runs commands with foreign output,
//! long commands, commands whose output is read line by line, and commands on the user's terminal.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bail;

mod background;
mod bounded;
mod capabilities;
mod delegate;
pub mod die_with_parent;
mod evaluation;
mod exchange;
mod expect;
pub mod handover;
mod input;
mod measure;
mod observer;
mod output;
pub mod own_root;
mod piped;
mod silent;
mod start;
mod stream;
mod terminal;
#[cfg(test)]
mod tests;

use stream::OnStop;

pub use background::Background;
pub use bounded::Bounds;
pub use delegate::User;
pub use evaluation::TimedOut;
pub use expect::{DialogueEnd, Received, Reply};
pub use measure::{Cost, Measured, memory_of};
pub use output::{ExchangeEnd, Output};
pub use own_root::{OwnRootRun, ShownPath};
pub use piped::Piped;
pub use silent::Silent;

/// The limits of a short command.
const SHORT_COMMAND: Bounds = Bounds { output: 64 << 20, time: Duration::from_secs(3600) };
/// The maximum stdout of a long command, in bytes: the results of evaluations are large.
const MAX_STDOUT: u64 = 256 << 20;

/// Starts child processes, in one working directory and with changes to the environment.
#[derive(Clone, Debug)]
pub struct Launcher {
    dir: PathBuf,
    /// The variables that children get beside or instead of the environment of this process.
    env: Vec<(OsString, OsString)>,
    /// Whether children get only `env`, and nothing of the environment of this process.
    has_clean_env: bool,
    /// Whether [`Self::run_protected`] keeps children from reading files against their modes.
    protects_keys: bool,
    evaluations: evaluation::Rules,
    observer: observer::Observer,
}

impl Launcher {
    /// A launcher whose children run in `dir` with the environment of this process.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            env: Vec::new(),
            has_clean_env: false,
            protects_keys: false,
            evaluations: evaluation::Rules::default(),
            observer: observer::Observer::default(),
        }
    }

    /// A launcher whose children run in `dir`, and get nothing of the environment of this process.
    pub fn with_clean_env(dir: impl Into<PathBuf>) -> Self {
        Self { has_clean_env: true, ..Self::new(dir) }
    }

    /// The same launcher with the environment variable `name` set to `value`.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let name = name.into();
        // Only one value may remain: of two, duct takes the first and xshell the last.
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value.into()));
        self
    }

    /// The same launcher with `dir` first in the `PATH` of its children.
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

    /// The value of the variable `name` in the environment of a child; `None` where it is unset.
    pub fn env(&self, name: &str) -> Option<OsString> {
        match self.env.iter().find(|(known, _)| known == name) {
            Some((_, value)) => Some(value.clone()),
            None if self.has_clean_env => None,
            None => std::env::var_os(name),
        }
    }

    /// The path of `program` on the `PATH` of the children; `None` where it is missing or cannot be executed.
    pub fn which(&self, program: &str) -> Option<PathBuf> {
        let path = self.env("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_executable(file))
    }

    /// Runs a short command, for at most an hour and 64 MiB of output. Its stdin is empty. Returns its whole output. An
    /// exit code other than 0 is not an error here.
    pub fn capture<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<Output> {
        self.run_briefly(program, args, SHORT_COMMAND)
    }

    /// Runs a short command whose output is trusted, and returns its stdout, without limits on time and size. Its stdin
    /// is empty. An exit code other than 0 is an error with the child's stderr.
    pub fn read<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<String> {
        let child = self.observe(program, args);
        let shell = xshell::Shell::new().context("starting a command")?;
        shell.change_dir(&self.dir);
        let command = xshell::cmd!(shell, "{program} {args...}");
        let command = if self.has_clean_env { command.env_clear() } else { command };
        let raw = command.envs(self.env.iter().cloned()).quiet().ignore_status().output();
        let output = match raw {
            Err(_) if self.lacks(program) => Err(start::missing_error(program)),
            raw => raw.map(Output::from).with_context(|| format!("running {program}")),
        };
        let output = child.end_with_output(output)?;
        if output.success() {
            return Ok(output.stdout);
        }
        let words = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
        bail!(Other, "{program} {words} failed with exit code {}: {}", output.code, output.stderr.trim())
    }

    /// Runs a long command and returns its exit code and its stdout. Its stdin is empty; `on_line` gets each line of
    /// its stderr at once. If the user asks to stop, the command is interrupted too and waited for. It goes on where
    /// this process is killed.
    ///
    /// # Errors
    /// `ExitKind::Interrupted` where the user asked to stop. An exit code other than 0 is not an error here.
    pub fn stream<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        on_line: impl FnMut(&str),
    ) -> Result<Output> {
        self.stream_with(program, args, OnStop::Ask, on_line)
    }

    /// Like [`Self::stream`], for a command that can be cut off without loss: it is stopped at `limit` too, and killed
    /// if it ignores a stop request for some seconds. It dies with this process.
    ///
    /// # Errors
    /// As [`Self::stream`], and [`TimedOut`] for a command that failed after `limit`.
    pub fn stream_killable<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        limit: Option<Duration>,
        on_line: impl FnMut(&str),
    ) -> Result<Output> {
        self.stream_with(program, args, OnStop::AskThenKill { limit }, on_line)
    }

    fn stream_with<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        on_stop: OnStop,
        mut on_line: impl FnMut(&str),
    ) -> Result<Output> {
        let child = self.observe(program, args);
        let (stdout, sink) = std::io::pipe().context("making a pipe")?;
        let read_stdout = move || crate::base::bounded::read_all(stdout, MAX_STDOUT);
        let reader = std::thread::Builder::new()
            .spawn(read_stdout)
            .with_context(|| format!("starting a thread for the output of {program}"))?;
        let command = match on_stop {
            OnStop::Ask => self.command(program, args),
            OnStop::AskThenKill { .. } => self.mortal_command(program, args),
        };
        let command = command.stdin_null().stdout_file(sink);
        let result = stream::follow(self, program, &command, on_stop, |line| {
            child.line(line);
            on_line(line);
        });
        // This drops the writing end of the pipe, so that the reader finds the end.
        drop(command);
        let stdout = reader.join().map_err(|_| anyhow::anyhow!("the reading thread panicked"))?;
        let stdout = stdout.with_context(|| format!("reading the output of {program}"))?;
        let output = result?;
        child.end(output.code);
        Ok(Output { stdout: String::from_utf8_lossy(&stdout).into_owned(), ..output })
    }

    /// Runs a long command without a result on stdout: `on_line` gets each line of its stdout and its stderr at once.
    /// Its stdin is empty; a program that prompts on the terminal, such as ssh, still can. Returns its exit code. A
    /// stop request is forwarded as by [`Self::stream`].
    pub fn stream_all<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        mut on_line: impl FnMut(&str),
    ) -> Result<i32> {
        let child = self.observe(program, args);
        let command = self.command(program, args).stdin_null().stdout_to_stderr();
        let output = stream::follow(self, program, &command, OnStop::Ask, |line| {
            child.line(line);
            on_line(line);
        })?;
        child.end(output.code);
        Ok(output.code)
    }

    /// Runs a command on the user's terminal: it inherits stdin, stdout and stderr. Returns its exit code.
    pub fn interact<S: AsRef<OsStr>>(&self, program: &str, args: &[S]) -> Result<i32> {
        let child = self.observe(program, args);
        let raw = self.started(program, self.command(program, args).run())?;
        let code = Output::from(raw).code;
        child.end(code);
        Ok(code)
    }

    /// Runs two commands, each a program with its arguments: the stdout of the first is the stdin of the second, whose
    /// stdout is discarded. An exit code other than 0 of either is an error with their stderr.
    pub fn pipe<S: AsRef<OsStr>>(&self, first: (&str, &[S]), second: (&str, &[S])) -> Result<()> {
        let ((from, from_args), (into, into_args)) = (first, second);
        let doing = || format!("running {from} into {into}");
        let words = |(program, args): (&str, &[S])| {
            std::iter::once(program.into()).chain(args.iter().map(|arg| arg.as_ref().to_owned())).collect()
        };
        let child = self.observe_pipeline(&[words(first), words(second)]);
        let source = self.command(from, from_args).stdin_null();
        let raw = source.pipe(self.command(into, into_args)).stdout_null().stderr_capture().run();
        // The first of the two that is missing, as the error does not say which it was.
        let missing = [from, into].into_iter().find(|program| self.lacks(program));
        let raw = match (raw, missing) {
            (Err(_), Some(program)) => Err(start::missing_error(program)),
            (raw, _) => raw.map(Output::from).with_context(doing),
        };
        let output = child.end_with_output(raw)?;
        if output.success() {
            return Ok(());
        }
        let stderr = output.stderr.trim();
        bail!(Other, "{from} into {into} failed with exit code {}: {stderr}", output.code)
    }

    /// Runs and measures a pipeline of one or more commands, each a program with its arguments. The stdin of the first
    /// is empty, the stdout of the last is discarded, and the stderr of all is returned. A stop request is forwarded as
    /// by [`Self::stream`].
    pub fn measure(&self, pipeline: &[Vec<OsString>]) -> Result<Measured> {
        let commands = pipeline.iter().filter_map(|words| words.split_first());
        let names = commands.clone().map(|(program, _)| program.to_string_lossy()).collect::<Vec<_>>();
        let parts = commands.map(|(program, args)| self.command(program, args));
        let command = parts.reduce(|from, into| from.pipe(into)).context("running an empty pipeline")?;
        let child = self.observe_pipeline(pipeline);
        let measured = measure::measure(&names.join(" into "), &command.stdin_null())?;
        child.end(measured.code);
        Ok(measured)
    }

    /// The command in the working directory and with the environment of a child. An exit code other than 0 is not an
    /// error of the command.
    fn command<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, args: &[S]) -> duct::Expression {
        let args = args.iter().map(|arg| arg.as_ref().to_owned()).collect::<Vec<_>>();
        let command = duct::cmd(program.as_ref(), args).dir(&self.dir).unchecked();
        if self.has_clean_env {
            return command.full_env(self.env.iter().cloned());
        }
        self.env.iter().fold(command, |command, (name, value)| command.env(name, value))
    }
}

/// Whether `file` is a file that this process may execute.
fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}
