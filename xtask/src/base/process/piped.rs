//! Children whose stdout is read as a stream.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{PipeReader, Read};
use std::time::Duration;

use anyhow::{Context, Result};

use super::stream::{MAX_LINE, for_each_line};
use super::{Launcher, Output};

/// How many lines of stderr are kept, the last ones.
const KEPT_LINES: usize = 20;

/// How long a child may take to end by itself after its stdout could not be read to the end: one that has failed needs
/// no more, and one that waits for a reader would never end.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// A child that has ended, and what was read of its stdout.
#[derive(Debug)]
pub struct Piped<T> {
    pub read: Result<T>,
    /// The exit code and the last lines of stderr; `None` for a child that had to be killed, because `read` failed.
    pub output: Option<Output>,
}

impl Launcher {
    /// Runs a command whose stdout `read` reads while it runs. Its stdin is empty. It dies with
    /// this process.
    ///
    /// # Errors
    /// Where the command cannot be started. An exit code other than 0 is not an error here.
    pub fn read_stdout<T, S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: &[S],
        read: impl FnOnce(&mut dyn Read) -> Result<T>,
    ) -> Result<Piped<T>> {
        let observed = self.observe(program, args);
        let (mut stdout, sink) = std::io::pipe().context("making a pipe")?;
        let (stderr, stderr_sink) = std::io::pipe().context("making a pipe")?;
        let command =
            self.mortal_command(program, args).stdin_null().stdout_file(sink).stderr_file(stderr_sink);
        let child = self.started(program, command.start())?;
        drop(command);
        std::thread::scope(|scope| {
            let lines = scope.spawn(move || last_lines(&stderr));
            let read = read(&mut stdout);
            let has_ended = read.is_ok() || child.wait_timeout(END_TIMEOUT).is_ok_and(|end| end.is_some());
            // The child may have written more than was of interest.
            let drained = if has_ended {
                std::io::copy(&mut stdout, &mut std::io::sink()).map(drop)
            } else {
                child.kill()
            };
            drained.with_context(|| format!("ending {program}"))?;
            let raw = child.into_output().with_context(|| format!("waiting for {program}"))?;
            let stderr = lines.join().unwrap_or_default();
            let output = Output { stderr, ..Output::from(raw) };
            let output = observed.end_with_output(Ok(output))?;
            let output = has_ended.then_some(output);
            Ok(Piped { read, output })
        })
    }
}

/// The last lines of `stderr`, which is read to its end.
fn last_lines(stderr: &PipeReader) -> String {
    let mut lines = VecDeque::new();
    let keep = |line: &str| {
        lines.push_back(line.to_owned());
        if lines.len() > KEPT_LINES {
            lines.pop_front();
        }
    };
    let mut keep = keep;
    // What cannot be read is no reason to fail: the exit code tells success.
    let _ = for_each_line(stderr, MAX_LINE, &mut |_| {}, &mut keep);
    Vec::from(lines).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(script: &str, read: impl FnOnce(&mut dyn Read) -> Result<T>) -> Piped<T> {
        Launcher::new("/").read_stdout("sh", &["-c", script], read).unwrap()
    }

    fn read_all(source: &mut dyn Read) -> Result<String> {
        let mut text = String::new();
        source.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn the_stdout_of_a_child_is_read_while_it_runs() {
        let piped = run("echo one; echo why >&2; exit 3", read_all);
        let output = piped.output.unwrap();
        assert_eq!((piped.read.unwrap().as_str(), output.code, output.stderr.as_str()), ("one\n", 3, "why"));
    }

    #[test]
    fn a_child_whose_reader_gives_up_is_killed() {
        let give_up = |_: &mut dyn Read| -> Result<()> { anyhow::bail!("too much") };
        let piped = run("exec yes", give_up);
        assert_eq!((piped.read.unwrap_err().to_string().as_str(), piped.output), ("too much", None));
        // One that has failed by itself says why.
        let piped = run("echo broken >&2; exit 1", give_up);
        assert_eq!(piped.output.unwrap().stderr, "broken");
    }

    #[test]
    fn a_reader_need_not_read_everything() {
        let piped = run("seq 100000", |source| Ok(source.read(&mut [0; 4])?));
        assert_eq!((piped.read.unwrap(), piped.output.unwrap().code), (4, 0));
    }
}
