//! Children that process foreign bytes: their output and their time are limited. A child is killed when it exceeds its
//! limits, or as soon as the caller asks for it, and with this process: nobody would keep it within its limits then.

use std::ffi::OsStr;
use std::io::{PipeReader, PipeWriter, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use duct::Expression;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};

use super::silent::Silent;
use super::{Launcher, Output};
use crate::bail;
use crate::base::Bytes;

/// The interval between two checks whether the child may continue.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The limits of a child.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The maximum output on each of its stdout and its stderr, in bytes.
    pub output: u64,
    /// The maximum time from its start to its end.
    pub time: Duration,
}

/// Whether a running child may continue.
pub(super) struct Watch<'a> {
    program: &'a str,
    bounds: Bounds,
    deadline: Instant,
    /// By when the child must have written something to its stdout.
    first_output: Option<Instant>,
    check: &'a dyn Fn() -> Result<()>,
}

impl<'a> Watch<'a> {
    /// A watch of `program`, which begins now.
    pub(super) fn new(program: &'a str, bounds: Bounds, check: &'a dyn Fn() -> Result<()>) -> Self {
        Self { program, bounds, deadline: Instant::now() + bounds.time, first_output: None, check }
    }

    /// Fails where the child must be killed.
    ///
    /// # Errors
    /// Those of `check`, and `Verification` after the deadline.
    fn check(&self) -> Result<()> {
        (self.check)()?;
        if Instant::now() > self.deadline {
            let Self { program, bounds, .. } = self;
            bail!(Verification, "{program} took more than {} s and was killed", bounds.time.as_secs());
        }
        Ok(())
    }

    /// Fails where the child should have written to `stdout` by now.
    ///
    /// # Errors
    /// [`Silent`].
    fn check_begun(&self, stdout: &[u8]) -> Result<()> {
        let is_late = self.first_output.is_some_and(|limit| Instant::now() > limit);
        if is_late && stdout.is_empty() { Err(Silent.into()) } else { Ok(()) }
    }
}

impl Launcher {
    /// Runs a command within `bounds`. Its stdin is empty. `check` is called at least every 50 ms; where it fails, the
    /// child is killed and the error is returned. An exit code other than 0 is not an error here.
    ///
    /// # Errors
    /// `ExitKind::Verification` for a child that exceeds its bounds.
    pub fn run_bounded<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        bounds: Bounds,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Output> {
        let command = self.mortal_command(program, args).stdin_null();
        self.run_observed(program, args, command, bounds, check)
    }

    /// Like [`Self::run_bounded`], for a command so short that it may outlive this process.
    pub(super) fn run_briefly<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        bounds: Bounds,
    ) -> Result<Output> {
        let command = self.command(program, args).stdin_null();
        self.run_observed(program, args, command, bounds, &|| Ok(()))
    }

    /// Runs `command`, which runs `program` with `args`.
    pub(super) fn run_observed<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        command: Expression,
        bounds: Bounds,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Output> {
        let child = self.observe(program, args);
        let ended = run(self, command, &Watch::new(program, bounds, check), |command, [stdout, stderr]| {
            command.stdout_file(stdout).stderr_file(stderr)
        });
        child.end_with_output(ended.map(|(code, [stdout, stderr])| Output { code, stdout, stderr }))
    }

    /// Like [`Self::run_bounded`], for a program that writes a log to `/dev/stdin`: no other output of the program
    /// comes there. Returns the output and the log. The program must not read its stdin. With `begin_within` it must
    /// write something to its stdout within that time.
    ///
    /// # Errors
    /// As [`Self::run_bounded`], and [`Silent`]; the log has the limit of stdout and stderr.
    pub fn run_bounded_with_log<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        (bounds, begin_within): (Bounds, Option<Duration>),
        check: &dyn Fn() -> Result<()>,
    ) -> Result<(Output, String)> {
        let child = self.observe(program, args);
        let command = self.mortal_command(program, args);
        let first_output = begin_within.map(|time| Instant::now() + time);
        let watch = Watch { first_output, ..Watch::new(program, bounds, check) };
        let (code, [stdout, stderr, log]) = run(self, command, &watch, |command, [stdout, stderr, log]| {
            command.stdout_file(stdout).stderr_file(stderr).stdin_file(log)
        })?;
        child.lines(&log);
        let output = child.end_with_output(Ok(Output { code, stdout, stderr }))?;
        Ok((output, log))
    }
}

/// Runs `command`, after `connect` has attached the writing ends of pipes to it, as long as `watch` allows. Returns its
/// exit code and the text from each pipe.
pub(super) fn run<const COUNT: usize>(
    launcher: &Launcher,
    command: Expression,
    watch: &Watch,
    connect: impl FnOnce(Expression, [PipeWriter; COUNT]) -> Expression,
) -> Result<(i32, [String; COUNT])> {
    let program = watch.program;
    let (sources, sinks) = pipes().context("making a pipe")?;
    let connected = connect(command, sinks);
    let child = launcher.started(program, connected.start())?;
    drop(connected);
    let outputs = read_to_ends(watch, sources).and_then(|outputs| {
        wait_for_end(watch, &child)?;
        Ok(outputs)
    });
    if outputs.is_err() {
        child.kill().with_context(|| format!("killing {program}"))?;
    }
    let raw = child.into_output().with_context(|| format!("waiting for {program}"))?;
    let texts = outputs?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((Output::from(raw).code, texts))
}

/// Makes `COUNT` pipes. Returns their reading ends and their writing ends.
fn pipes<const COUNT: usize>() -> Result<([PipeReader; COUNT], [PipeWriter; COUNT])> {
    let made = (0..COUNT).map(|_| std::io::pipe()).collect::<std::io::Result<Vec<_>>>()?;
    let (sources, sinks): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    let wrong_count = || anyhow::anyhow!("making another number of pipes");
    Ok((sources.try_into().map_err(|_| wrong_count())?, sinks.try_into().map_err(|_| wrong_count())?))
}

/// Waits until `child` ends, as long as `watch` allows: a child can close its outputs and go on.
fn wait_for_end(watch: &Watch, child: &duct::Handle) -> Result<()> {
    let doing = || format!("waiting for {}", watch.program);
    while child.wait_timeout(POLL_INTERVAL).with_context(doing)?.is_none() {
        watch.check()?;
    }
    Ok(())
}

/// Reads the pipes to their ends, as long as `watch` allows, and at most the output of its bounds.
fn read_to_ends<const COUNT: usize>(watch: &Watch, pipes: [PipeReader; COUNT]) -> Result<[Vec<u8>; COUNT]> {
    let Watch { program, bounds, .. } = watch;
    let mut outputs = [const { Vec::new() }; COUNT];
    // A pipe that is read to its end becomes `None`.
    let mut open = pipes.map(Some);
    let mut buffer = vec![0; 64 << 10];
    while open.iter().any(Option::is_some) {
        watch.check()?;
        watch.check_begun(outputs.first().map_or(&[], Vec::as_slice))?;
        wait(&open).with_context(|| format!("waiting for {program}"))?;
        for (pipe, output) in open.iter_mut().zip(&mut outputs) {
            let Some(mut source) = pipe.as_ref().filter(|source| is_ready(source)) else { continue };
            match source.read(&mut buffer).with_context(|| format!("reading the output of {program}"))? {
                0 => *pipe = None,
                count => output.extend_from_slice(&buffer[..count]),
            }
            if output.len() as u64 > bounds.output {
                bail!(Verification, "{program} wrote more than {} and was killed", Bytes(bounds.output));
            }
        }
    }
    Ok(outputs)
}

/// Waits until one of the pipes is readable or at its end, at most for [`POLL_INTERVAL`].
fn wait(open: &[Option<PipeReader>]) -> Result<(), Errno> {
    let tick = Timespec { tv_sec: 0, tv_nsec: POLL_INTERVAL.subsec_nanos().into() };
    let mut polled = open.iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect::<Vec<_>>();
    match poll(&mut polled, Some(&tick)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether `pipe` is readable or at its end now.
fn is_ready(pipe: &PipeReader) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = retry_on_intr(|| poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&now)));
    ready.is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::ExitKind;

    const BOUNDS: Bounds = Bounds { output: 1 << 20, time: Duration::from_secs(60) };

    fn run_script(script: &str, bounds: Bounds, check: &dyn Fn() -> Result<()>) -> Result<Output> {
        Launcher::new("/").run_bounded("sh", &["-c", script], bounds, check)
    }

    #[test]
    fn a_child_within_its_bounds_ends_by_itself() {
        let output = run_script("echo out; echo err >&2; exit 3", BOUNDS, &|| Ok(())).unwrap();
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (3, "out\n", "err\n"));
    }

    #[test]
    fn the_log_of_a_child_is_returned() {
        let script = "echo log >>/dev/stdin; echo out; echo err >&2; exit 3";
        let launcher = Launcher::new("/");
        let (output, log) =
            launcher.run_bounded_with_log("sh", &["-c", script], (BOUNDS, None), &|| Ok(())).unwrap();
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (3, "out\n", "err\n"));
        assert_eq!(log, "log\n");
    }

    /// e2image writes or waits for ever on a malicious file system. The children here ignore Ctrl-C, too.
    #[test]
    fn a_child_that_writes_or_waits_for_ever_is_killed() {
        let begin = Instant::now();
        let short = Bounds { time: Duration::from_millis(200), ..BOUNDS };
        let fail_after_half_a_second = || {
            if begin.elapsed().as_millis() > 500 {
                Err(ExitKind::Interrupted.error("stopped"))
            } else {
                Ok(())
            }
        };
        for (script, bounds, expected) in [
            ("trap '' INT; exec yes", BOUNDS, "sh wrote more than 1.0 MiB and was killed"),
            ("trap '' INT; exec yes >&2", BOUNDS, "sh wrote more than 1.0 MiB and was killed"),
            ("trap '' INT; exec sleep 60", short, "sh took more than 0 s and was killed"),
            ("trap '' INT; exec sleep 60", BOUNDS, "stopped"),
        ] {
            let error = run_script(script, bounds, &fail_after_half_a_second).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_child_that_closes_its_outputs_and_goes_on_is_killed() {
        let short = Bounds { time: Duration::from_millis(200), ..BOUNDS };
        let begin = Instant::now();
        let stop_after_a_second = || {
            if begin.elapsed().as_secs() >= 1 { Err(ExitKind::Interrupted.error("stopped")) } else { Ok(()) }
        };
        let succeed = || -> Result<()> { Ok(()) };
        let checks: [(_, &dyn Fn() -> Result<()>, _); 2] = [
            (short, &succeed, "sh took more than 0 s and was killed"),
            (BOUNDS, &stop_after_a_second, "stopped"),
        ];
        for (bounds, check, expected) in checks {
            let script = "trap '' INT; exec >&- 2>&-; exec sleep 60";
            assert_eq!(run_script(script, bounds, check).unwrap_err().to_string(), expected);
        }
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
