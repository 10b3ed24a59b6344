//! A run of the real binary: its environment, its folder and its streams.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::terminal::Terminal;
use super::{Outcome, schema};

/// How long a run may take until it is ready to be interrupted, in real deploys too.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a run may take to end after an interrupt, unless a test sets another limit.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The processes that receive a signal.
#[derive(Clone, Copy, Debug)]
pub enum SignalTo {
    /// The tool and its children, as with Ctrl-C.
    Group,
    /// The tool alone.
    Tool,
}

/// A run of the binary that has not started yet.
pub struct Xtask {
    command: Command,
    stop_timeout: Duration,
    is_stdout_elsewhere: bool,
}

impl Xtask {
    /// A run of `command`, which starts the binary.
    pub fn new(command: Command) -> Self {
        Self { command, stop_timeout: STOP_TIMEOUT, is_stdout_elsewhere: false }
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Sets the working directory.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Lets `wrapper` start the tool: a program and its arguments, before those of the tool. The working directory that
    /// was set before is lost.
    pub fn wrapped_in(mut self, wrapper: &[&str]) -> Self {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        // What lets the tool heed Ctrl-C comes before the wrapper, which may let the tool ignore it again.
        let tool = words.skip_while(|word| HEED_INTERRUPTS.iter().any(|prefix| word == prefix));
        let mut command = command_that_heeds_interrupts(wrapper[0]);
        command.args(&wrapper[1..]).args(tool);
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null());
        self.command = command;
        self
    }

    /// Limits how long the run may take to end after an interrupt.
    pub fn stop_timeout(mut self, limit: Duration) -> Self {
        self.stop_timeout = limit;
        self
    }

    /// Redirects stdout to `stdout`; the stdout of the outcome is then empty.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self.is_stdout_elsewhere = true;
        self
    }

    /// Runs the tool to its end. Asserts that what it prints with `--json` is by the schemas.
    #[track_caller]
    pub fn run(mut self) -> Outcome {
        let outcome = Outcome::of(&self.command.output().expect("running the binary"));
        if !self.is_stdout_elsewhere {
            schema::assert_output(&tool_args(&self.command), &outcome);
        }
        outcome
    }

    /// Runs the tool with a terminal as stdin and stderr.
    pub fn on_terminal(self) -> Terminal {
        Terminal::run(self.command)
    }

    /// Runs the tool with a terminal of `width` columns as stdin and stderr.
    pub fn on_narrow_terminal(self, width: u16) -> Terminal {
        Terminal::run_with_width(self.command, width)
    }

    /// Runs the tool with a terminal of `width` columns as stdin, stdout and stderr.
    pub fn on_whole_terminal(self, width: u16) -> Terminal {
        Terminal::run_whole(self.command, width)
    }

    /// Starts the tool in a process group of its own, as a terminal does.
    pub fn spawn(mut self) -> Running {
        self.command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("running the binary");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        Running { args: tool_args(&self.command), child, stderr, output: String::new() }
    }

    /// Runs the tool and presses Ctrl-C once its stderr has `text`.
    #[track_caller]
    pub fn interrupt_at(self, text: &str) -> Outcome {
        let mut run = self.spawn();
        run.wait_for(text);
        run.signal(SignalTo::Group, Signal::INT);
        run.finish()
    }

    /// Runs the tool and interrupts it once `is_ready`. Asserts that the tool then ends within the limit.
    #[track_caller]
    pub fn interrupt_once(self, is_ready: impl Fn() -> bool, to: SignalTo) -> Outcome {
        let stop_timeout = self.stop_timeout;
        let mut run = self.spawn();
        let start = Instant::now();
        while !is_ready() {
            assert!(start.elapsed() < READY_TIMEOUT, "the run is not ready to be interrupted");
            std::thread::sleep(Duration::from_millis(20));
        }
        run.signal(to, Signal::INT);
        let interrupted = Instant::now();
        let outcome = run.finish();
        assert!(interrupted.elapsed() < stop_timeout, "the run did not end after the interrupt");
        outcome
    }
}

/// A started run of the binary.
pub struct Running {
    /// The arguments of the tool.
    args: Vec<String>,
    pub child: Child,
    stderr: BufReader<ChildStderr>,
    /// The stderr that was read so far.
    output: String,
}

impl Running {
    /// The process id of the tool.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends `signal`.
    pub fn signal(&self, to: SignalTo, signal: Signal) {
        match to {
            SignalTo::Group => kill_process_group(self.pid(), signal),
            SignalTo::Tool => kill_process(self.pid(), signal),
        }
        .expect("sending a signal");
    }

    /// Reads stderr up to the next line that contains `text`, and returns that line.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).expect("reading stderr");
            assert!(read > 0, "no {text:?} in stderr:\n{}", self.output);
            self.output += &line;
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for the end of the run. Asserts that what it has printed with `--json` is by the schemas.
    #[track_caller]
    pub fn finish(&mut self) -> Outcome {
        self.stderr.read_to_string(&mut self.output).expect("reading stderr");
        let mut stdout = String::new();
        let pipe = self.child.stdout.as_mut().expect("stdout is a pipe");
        pipe.read_to_string(&mut stdout).expect("reading stdout");
        let code = self.child.wait().expect("waiting for the binary").code().unwrap_or(-1);
        let outcome = Outcome { code, stdout, stderr: std::mem::take(&mut self.output) };
        schema::assert_output(&self.args, &outcome);
        outcome
    }
}

/// The arguments of the tool, which `command` starts, directly or by a wrapper.
fn tool_args(command: &Command) -> Vec<String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    words.skip_while(|word| !word.ends_with("xtask")).skip(1).collect()
}

/// The words before a program that is to heed Ctrl-C, and the end of its terminal.
const HEED_INTERRUPTS: [&str; 2] = ["/usr/bin/env", "--default-signal=INT,HUP"];

/// A command of `program` that heeds Ctrl-C and the end of its terminal even if the suite ignores these signals. A
/// shell without job control lets the programs that it starts with `&` ignore the first, `nohup` the second, and
/// children inherit ignored signals.
#[expect(clippy::disallowed_methods, reason = "the suites start the binary itself")]
pub fn command_that_heeds_interrupts(program: &str) -> Command {
    // The bits of SIGHUP and SIGINT, which have the numbers 1 and 2, in the mask of ignored signals.
    const SIGNALS: u64 = 0b11;
    let status = fs::read_to_string("/proc/self/status").expect("reading the state of this process");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a line SigIgn");
    if u64::from_str_radix(mask.trim(), 16).expect("a mask") & SIGNALS == 0 {
        return Command::new(program);
    }
    let mut command = Command::new(HEED_INTERRUPTS[0]);
    command.args(&HEED_INTERRUPTS[1..]).arg(program);
    command
}
