//! A child that reads foreign bytes: what it says and how long it takes has a limit, and it is killed where it comes to
//! that, or as soon as somebody asks for it.

use std::ffi::OsStr;
use std::io::{PipeReader, PipeWriter, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use duct::Expression;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Launcher, Output};
use crate::base::Bytes;
use crate::base::failure::ExitKind;

/// How often it is looked whether the child is to go on.
const TICK: Duration = Duration::from_millis(50);

/// What a child may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most that it may say on its stdout, and on its stderr, in bytes.
    pub said: u64,
    pub time: Duration,
}

impl Launcher {
    /// Runs a command to its end, within `bounds`. Its stdin is empty. `ends` is asked every 50 ms; the child is killed
    /// when that is an error, which is returned.
    ///
    /// # Errors
    /// Of [`ExitKind::Verification`] for a child that takes more than its bounds.
    pub fn bounded<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        bounds: Bounds,
        ends: &dyn Fn() -> Result<()>,
    ) -> Result<Output> {
        let command = self.duct(program, args).stdin_null();
        let (code, [stdout, stderr]) = run(program, command, bounds, ends, |command, [stdout, stderr]| {
            command.stdout_file(stdout).stderr_file(stderr)
        })?;
        Ok(Output { code, stdout, stderr })
    }

    /// The same for a program that keeps a log of its own in `/dev/stdin`, where nothing else can write: it is returned
    /// beside the output. The program must not read its stdin.
    ///
    /// # Errors
    /// As [`Self::bounded`]; the log is bounded as the others are.
    pub fn bounded_with_log<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        bounds: Bounds,
        ends: &dyn Fn() -> Result<()>,
    ) -> Result<(Output, String)> {
        let command = self.duct(program, args);
        let (code, [stdout, stderr, log]) =
            run(program, command, bounds, ends, |command, [stdout, stderr, log]| {
                command.stdout_file(stdout).stderr_file(stderr).stdin_file(log)
            })?;
        Ok((Output { code, stdout, stderr }, log))
    }
}

/// Runs `command`, to which `connect` gives the writing ends of pipes. Returns its exit code and what came out of them.
fn run<const COUNT: usize>(
    program: &str,
    command: Expression,
    bounds: Bounds,
    ends: &dyn Fn() -> Result<()>,
    connect: impl FnOnce(Expression, [PipeWriter; COUNT]) -> Expression,
) -> Result<(i32, [String; COUNT])> {
    let (sources, sinks) = pipes().context("making a pipe")?;
    let command = connect(command, sinks);
    let child = command.start().with_context(|| format!("running {program}"))?;
    drop(command);
    let heard = listen(program, sources, bounds, ends);
    if heard.is_err() {
        child.kill().with_context(|| format!("ending {program}"))?;
    }
    let raw = child.into_output().with_context(|| format!("waiting for {program}"))?;
    let heard = heard?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((Output::from(raw).code, heard))
}

/// The reading ends of pipes, and their writing ends.
fn pipes<const COUNT: usize>() -> Result<([PipeReader; COUNT], [PipeWriter; COUNT])> {
    let made = (0..COUNT).map(|_| std::io::pipe()).collect::<std::io::Result<Vec<_>>>()?;
    let (sources, sinks): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    let odd = || anyhow::anyhow!("another number of pipes");
    Ok((sources.try_into().map_err(|_| odd())?, sinks.try_into().map_err(|_| odd())?))
}

/// What comes out of the pipes until their ends.
fn listen<const COUNT: usize>(
    program: &str,
    pipes: [PipeReader; COUNT],
    bounds: Bounds,
    ends: &dyn Fn() -> Result<()>,
) -> Result<[Vec<u8>; COUNT]> {
    let (until, mut heard) = (Instant::now() + bounds.time, [const { Vec::new() }; COUNT]);
    let (mut open, mut chunk) = (pipes.map(Some), vec![0; 64 << 10]);
    while open.iter().any(Option::is_some) {
        ends()?;
        if Instant::now() > until {
            let seconds = bounds.time.as_secs();
            return Err(
                ExitKind::Verification.error(format!("{program} took more than {seconds} s and was ended"))
            );
        }
        wait(&open).with_context(|| format!("waiting for {program}"))?;
        for (pipe, heard) in open.iter_mut().zip(&mut heard) {
            let Some(mut source) = pipe.as_ref().filter(|source| is_ready(source)) else { continue };
            match source.read(&mut chunk).with_context(|| format!("reading what {program} says"))? {
                0 => *pipe = None,
                count => heard.extend_from_slice(&chunk[..count]),
            }
            if heard.len() as u64 > bounds.said {
                let said = Bytes(bounds.said);
                return Err(
                    ExitKind::Verification.error(format!("{program} said more than {said} and was ended"))
                );
            }
        }
    }
    Ok(heard)
}

/// Waits until there is something to read, no longer than [`TICK`].
fn wait(open: &[Option<PipeReader>]) -> Result<(), Errno> {
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    let mut polled = open.iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect::<Vec<_>>();
    match poll(&mut polled, Some(&tick)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_ready(pipe: &PipeReader) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { said: 1 << 20, time: Duration::from_secs(60) };

    fn run_script(script: &str, bounds: Bounds, ends: &dyn Fn() -> Result<()>) -> Result<Output> {
        Launcher::new("/").bounded("sh", &["-c", script], bounds, ends)
    }

    #[test]
    fn what_a_child_says_within_its_bounds() {
        let output = run_script("echo out; echo err >&2; exit 3", BOUNDS, &|| Ok(())).unwrap();
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (3, "out\n", "err\n"));
    }

    #[test]
    fn a_log_beside_what_a_child_says() {
        let script = "echo log >>/dev/stdin; echo out; echo err >&2; exit 3";
        let launcher = Launcher::new("/");
        let (output, log) = launcher.bounded_with_log("sh", &["-c", script], BOUNDS, &|| Ok(())).unwrap();
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (3, "out\n", "err\n"));
        assert_eq!(log, "log\n");
    }

    /// As e2image does on a file system that is made for it, and deaf to Ctrl-C.
    #[test]
    fn a_child_that_talks_or_waits_for_ever_is_killed() {
        let begin = Instant::now();
        let late = Bounds { time: Duration::from_millis(200), ..BOUNDS };
        let stop = || {
            if begin.elapsed().as_millis() > 500 {
                Err(ExitKind::Interrupted.error("stopped"))
            } else {
                Ok(())
            }
        };
        for (script, bounds, expected) in [
            ("trap '' INT; exec yes", BOUNDS, "sh said more than 1.0 MiB and was ended"),
            ("trap '' INT; exec yes >&2", BOUNDS, "sh said more than 1.0 MiB and was ended"),
            ("trap '' INT; exec sleep 60", late, "sh took more than 0 s and was ended"),
            ("trap '' INT; exec sleep 60", BOUNDS, "stopped"),
        ] {
            assert_eq!(run_script(script, bounds, &stop).unwrap_err().to_string(), expected);
        }
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
